"""Tables that are none, given to `python -m benchmarks.compare`: one entry each, and a piece of what is said."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import compare

SOUND = b"arch,score\na-a,1\na-b,2\nb-a,3\nb-b,4\n"

# What lies in mine.csv, and a piece of what is said of csv:mine.csv.
TABLES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "mine.csv: found 0 lines, expected one with the columns' names and one a row"),
    "a header alone": (b"arch,score\n", "mine.csv: found 1 line, expected one with the columns' names and one a row"),
    "one column": (b"arch\na\nb\n", "mine.csv: found 1 column, expected two, architectures and their scores; put a …"),
    "three columns": (
        b"arch,a,b\nx,1,2\n",
        "mine.csv: found 3 columns, expected two, architectures and their scores; …",
    ),
    "semicolons": (b"arch;score\na-a;1\n", "mine.csv: found 1 column, expected two, …; put a comma between them, no …"),
    "a line too short": (SOUND + b"c\n", "mine.csv, line 6: found 1 column, expected 2; mend the line"),
    "a line too long": (SOUND + b"c-c,5,6\n", "mine.csv, line 6: found 3 columns, expected 2; mend the line"),
    "an empty line within": (SOUND.replace(b"\n", b"\n\n", 3), "mine.csv, line …: found 0 columns, expected 2; mend …"),
    "no score": (SOUND + b"c-c,\n", "mine.csv, line 6: found nothing in column score, expected a value; mend the line"),
    "no architecture": (
        SOUND + b",5\n",
        "mine.csv, line 6: found nothing in column arch, expected a value; mend the …",
    ),
    "a score in letters": (
        SOUND + b"c-c,high\n",
        "line 6: found 'high' in column score, expected a number; mend the line",
    ),
    "a score of nan": (SOUND + b"c-c,nan\n", "line 6: found 'nan' in column score, expected a number; mend the line"),
    "a score of inf": (SOUND + b"c-c,-inf\n", "line 6: found '-inf' in column score, expected a number; mend the line"),
    "a score of 1e999": (
        SOUND + b"c-c,1e999\n",
        "line 6: found '1e999' in column score, expected a number; mend the …",
    ),
    "an architecture twice": (
        SOUND + b"a-a,5\n",
        "line 6: found the architecture 'a-a' for the second time, expected …",
    ),
    "an architecture missing": (SOUND[:-6], "mine.csv: found 3 architectures, expected all 4 combinations of the …"),
    "architectures of other lengths": (
        b"arch,score\nab,1\nabc,2\n",
        "found the architectures 'ab' and 'abc', expected …",
    ),
    "binary": (bytes(range(256)) * 9, "mine.csv: found …, expected a table as csv, gzipped or not; name such a file"),
    "Latin letters": (
        "arch,score\nä,1\nö,2\n".encode("latin-1"),
        "mine.csv: found UnicodeDecodeError: …, expected a …",
    ),
    "UTF-16": (SOUND.decode().encode("utf-16"), "mine.csv: found UnicodeDecodeError: …, expected a table as csv, …"),
    "nulls": (b"arch,score\na\0a,1\n" + bytes(100), "mine.csv, line 3: found 1 column, expected 2; mend the line"),
    "one field of a megabyte": (b"arch,score\n" + b"a" * 2**20 + b",1\n", "mine.csv: found Error: field larger than …"),
    "quotes left open": (b'arch,score\n"a-a,1\nb-b,2\n', "found …, expected …"),
    "half a gzip": (
        gzip.compress(SOUND)[:20],
        "mine.csv: found EOFError: …, expected a table as csv, gzipped or not; …",
    ),
    "gzip of nothing": (
        b"\x1f\x8b",
        "mine.csv: found EOFError: …, expected a table as csv, gzipped or not; name such a …",
    ),
    "gzip with a byte changed": (
        gzip.compress(SOUND * 99)[:-8] + bytes(8),
        "mine.csv: found …, expected a table as csv, gzipped or not; name such a file",
    ),
    "gzip of noise": (gzip.compress(SOUND)[:10] + b"\xff" * 99, "mine.csv: found error: Error -3 while …"),
    "gzipped twice": (gzip.compress(gzip.compress(SOUND)), "mine.csv: found UnicodeDecodeError: …, expected a table …"),
    "a bomb": (
        b"".join([gzip.compress(bytes(2**20), 1)] * 300),
        "mine.csv: found more than 268,435,456 bytes, expected at most so many in a table, unpacked; leave …",
    ),
    "an escape": (SOUND + b"c-\x1b[2J,5,6\n", "mine.csv, line 6: found 3 columns, expected 2; mend the line"),
    "a name with an escape": (
        SOUND + b"\x1b[2J-a,x\n",
        "line 6: found 'x' in column score, expected a number; mend the …",
    ),
}

# The whole of what is typed but for --out, with a sound table in sound.csv.
WORDS = [
    ("", "Missing argument '…'"),
    ("csv:sound.csv", "Missing option '--controllers'"),
    ("csv:sound.csv -c random", "Missing option '--seeds'"),
    ("csv:sound.csv -c random --seeds 0", "Invalid value for '--seeds'"),
    ("csv:sound.csv -c random --seeds two", "Invalid value for '--seeds'"),
    ("csv:sound.csv -c random --seeds 2 --budget 0", "Invalid value for '--budget'"),
    ("csv:sound.csv -c random --seeds 2 --budget nan", "Invalid value for '--budget'"),
    ("csv:sound.csv -c random --seeds 2", "--budget"),
    (
        "csv:sound.csv -c rnadom --seeds 2 --budget 4",
        "controller: found 'rnadom'; did you mean random?, expected one of …",
    ),
    ("csv:sound.csv -c random:5 --seeds 2 --budget 4", "controller random: found '5', expected name=value"),
    ("csv:sound.csv -c random --seeds 99999999999 --budget 4", "Invalid value for '--seeds'"),
    ("csv:sound.csv -c random --seeds 2 --budget 4 --workers 0", "Invalid value for '--workers'"),
    (
        "csv:sound.csv -c reinforce:rate=x --seeds 2 --budget 4",
        "controller reinforce: rate: found 'x', expected a value …",
    ),
    ("csv:sound.csv -c reinforce:batch=0 --seeds 2 --budget 4", "reinforce: found batch=0, expected 1 to …"),
    (
        "csv:sound.csv -c random --seeds 2 --simulated-seconds 9",
        "--simulated-seconds: found no times in csv:sound.csv …",
    ),
    ("csv:sound.csv -c random --seeds 2 --simulated-seconds nan", "--simulated-seconds"),
    ("csv:sound.csv -c random --seeds 2 --budget 4 --window 0", "Invalid value for '--window'"),
    ("csv:sound.csv -c random --seeds 2 --budget 4 --fail 2", "Invalid value for '--fail'"),
    ("csv:sound.csv -c random --seeds 2 --budget 4 --fail nan", "--fail"),
    ("csv:sound.csv -c random --seeds 2 --budget 4 --against nobody", "found …nobody…, expected …"),
    ("csv:sound.csv -c random --seeds 2 --budget 4 --fewer random", "--fewer"),
    ("csv:sound.csv -c random --seeds 2 --budget 4 --fewer random=x", "--fewer"),
    (
        "csv:sound.csv -c random --seeds 2 --budget 4 --dataset c10",
        "--dataset: found 'c10' with csv:sound.csv, expected …",
    ),
    ("csv:sound.csv -c random --seeds 2 --budget 4 --file sound.csv", "table: found 'csv:sound.csv' with --file, …"),
    ("csv: -c random --seeds 2 --budget 4", "table: found 'csv:', expected nasbench201, nasbench-macro, csv:PATH or …"),
    (
        "csv:nowhere -c random --seeds 2 --budget 4",
        "nowhere: found No such file or directory, expected a table as csv, …",
    ),
    (
        "csv:. -c random --seeds 2 --budget 4",
        ".: found no regular file, expected a table as csv, gzipped or not; name …",
    ),
    ("csv:/dev/zero -c random --seeds 2 --budget 4", "/dev/zero: found no regular file, expected a table as csv, …"),
    ("csv:pipe -c random --seeds 2 --budget 4", "pipe: found no regular file, expected a table as csv, gzipped or …"),
    (f"csv:{'a' * 300} -c random --seeds 2 --budget 4", "found File name too long, expected …"),
    (
        "nasbench201 --file nowhere -c random --seeds 2 --budget 4",
        "nowhere: found No such file or directory, expected …",
    ),
    (
        "nasbench201 --file sound.csv -c random --seeds 2 --budget 4",
        "sound.csv: found no column … among arch, score, …",
    ),
    ("nasbench201 --file sound.pth -c random --seeds 2 --budget 4", "sound.pth: found …, expected …"),
    ("nasbench-macro --file sound.csv -c random --seeds 2 --budget 4", "sound.csv: found no column test_acc_seed0 …"),
    (
        "nasbench201 --dataset c11 --file sound.csv -c random --seeds 2 --budget 4",
        "sound.csv: found no column c11_val…",
    ),
    (
        "nasbench -c random --seeds 2 --budget 4",
        "table: found 'nasbench'; did you mean nasbench201?, expected nasbench201",
    ),
    (
        "nk: -c random --seeds 2 --budget 4",
        "table: found 'nk:', expected nk:POSITIONS,OPTIONS,TIES,SEED with at least 2",
    ),
    (
        "nk:8,3,2 -c random --seeds 2 --budget 4",
        "table: found 'nk:8,3,2', expected nk:POSITIONS,OPTIONS,TIES,SEED with",
    ),
    ("nk:1,3,0,0 -c random --seeds 2 --budget 4", "table: found 'nk:1,3,0,0', expected nk:POSITIONS,OPTIONS,TIES,SEED"),
    ("nk:8,3,8,0 -c random --seeds 2 --budget 4", "table: found 'nk:8,3,8,0', expected nk:POSITIONS,OPTIONS,TIES,SEED"),
    (
        "nk:99,99,1,0 -c random --seeds 2 --budget 4",
        "table: found 'nk:99,99,1,0', expected nk:POSITIONS,OPTIONS,TIES,…",
    ),
    (
        "nk:-8,3,2,0 -c random --seeds 2 --budget 4",
        "table: found 'nk:-8,3,2,0', expected nk:POSITIONS,OPTIONS,TIES,SEED",
    ),
    (
        f"nk:{'9' * 99},2,0,0 -c random --seeds 2 --budget 4",
        "table: found 'nk:999…', expected nk:POSITIONS,OPTIONS,TIES",
    ),
]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_none_is_refused(refused: Callable[..., None], name: str) -> None:
    content, said = TABLES[name]
    Path("mine.csv").write_bytes(content)
    refused("csv:mine.csv -c random --seeds 2 --budget 4 --workers 1 --out o", said, compare.app, "compare")


@pytest.mark.parametrize(("words", "said"), WORDS)
def test_a_comparison_on_a_table_with_wrong_words_is_refused(
    refused: Callable[..., None], words: str, said: str
) -> None:
    Path("sound.csv").write_bytes(SOUND)
    Path("sound.pth").write_bytes(SOUND)
    os.mkfifo("pipe")
    refused(f"{words} --out o", said, compare.app, "compare")
