"""Ledgers that are none, given to every command that reads one: one entry each, and a piece of what is said."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.ledger import FILE, sealed

HEADER: dict[str, Any] = {
    "format": 1, "space": "Chain()", "choices": {"width": ["16", "32"]}, "limits": {}, "controller": "RandomSearch",
    "parameters": {}, "data": "digits", "training": 80, "validation": 20, "fingerprint": "cafe",
    "recipe": {"epochs": 1, "rate": 0.2}, "reward": "accuracy", "seed": 0, "threads": 1, "child_timeout": None,
    "window": 8, "length": 2,
}  # fmt: skip
TRIAL: dict[str, Any] = {
    "trial": 0, "answers": [1], "key": "beef", "network": "network 1: 8 concat gap: conv width=4", "reward": 0.5,
    "error": None, "same_as": None, "at": 1.5, "accuracy": [0.5], "loss": [1.0], "params": 10, "madds": 20,
    "seconds": 0.5, "memory": None, "precision": "float32",
}  # fmt: skip
FAILED = {**TRIAL, "reward": None, "error": "diverged: nan", "accuracy": [], "loss": []}


def lines(*records: dict[str, Any] | bytes) -> bytes:
    return b"".join(record if isinstance(record, bytes) else sealed(record) for record in records)


def header(**fields: object) -> bytes:
    """A ledger whose header has these fields, and a sound trial."""
    return lines(HEADER | fields, TRIAL)


def without(name: str) -> bytes:
    """A ledger whose header lacks this field."""
    return lines({field: value for field, value in HEADER.items() if field != name}, TRIAL)


def trial(**fields: object) -> bytes:
    """A ledger of a sound header and a trial that has these fields."""
    return lines(HEADER, TRIAL | fields)


def raw(text: str) -> bytes:
    """A ledger whose second line is this text with its checksum."""
    return lines(HEADER, forged(text))


def forged(text: str) -> bytes:
    import zlib

    return f'{text[:-1]}, "sum": "{zlib.crc32(text.encode()):08x}"}}\n'.encode()


DAMAGED = (
    "ledger.jsonl, line 2: found a damaged line (…), expected one JSON record with its checksum; restore the line …"
)
UNSOUND = (
    "ledger.jsonl, line 2: found no sound trial (…), expected the fields of format 1; restore the line from a copy"
)

# What lies in ledger.jsonl, and a piece of what is said.
LEDGERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "ledger.jsonl: found no header line, expected a search that has begun; …"),
    "half a header": (sealed(HEADER)[:50], "ledger.jsonl: found no header line, expected a search that has begun; …"),
    "an empty line": (
        b"\n",
        "ledger.jsonl, line 1: found a damaged line (…), expected one JSON record with its checksum",
    ),
    "empty lines": (b"\n" * 9, "ledger.jsonl, line 1: found a damaged line (…), expected one JSON record with its …"),
    "a header alone": (lines(HEADER), "expected one at least"),
    "a text": (
        b"my search\n",
        "ledger.jsonl, line 1: found a damaged line (…), expected one JSON record with its checksum",
    ),
    "a table": (b"trial,reward\n0,0.5\n", "ledger.jsonl, line 1: found a damaged line (…), expected one JSON record …"),
    "JSON of others": (b'{"trials": []}\n', "ledger.jsonl, line 1: found a damaged line (its checksum is missing or …"),
    "zeros": (
        bytes(1000) + b"\n",
        "ledger.jsonl, line 1: found a damaged line (…), expected one JSON record with its …",
    ),
    "noise": (
        bytes(range(256)) * 9 + b"\n",
        "ledger.jsonl, line 1: found a damaged line (…), expected one JSON record …",
    ),
    "gzipped": (
        b"\x1f\x8b\x08\0\0\0\0\0\0\n",
        "ledger.jsonl, line 1: found a damaged line (…), expected one JSON record …",
    ),
    "a pickle": (
        b"\x80\x04\x8c\x02os\x94.\n",
        "ledger.jsonl, line 1: found a damaged line (…), expected one JSON record",
    ),
    "UTF-16": (sealed(HEADER).decode().encode("utf-16"), "found …, expected …"),
    "with a BOM": (
        b"\xef\xbb\xbf" + lines(HEADER, TRIAL),
        "ledger.jsonl, line 1: found a damaged line (…), expected one …",
    ),
    "one long line": (b"a" * 10_000_000 + b"\n", "ledger.jsonl, line 1: found a damaged line (…), expected one JSON …"),
    "no header": (
        lines(TRIAL),
        "ledger.jsonl, line 1: found trial 0, expected the header of the search; restore it from a copy",
    ),
    "a format to come": (
        header(format=2),
        "ledger.jsonl, line 1: found format 2, expected 1; it was written by another …",
    ),
    "a format in letters": (
        header(format="1"),
        "ledger.jsonl, line 1: found format '1', expected 1; it was written by …",
    ),
    "a checksum changed": (lines(HEADER, sealed(TRIAL).replace(b'"sum": "', b'"sum": "f')), DAMAGED),
    "a reward changed": (lines(HEADER, sealed(TRIAL).replace(b"0.5,", b"0.9,", 1)), DAMAGED),
    "a line of another file": (lines(HEADER, b'{"trial": 0}\n', TRIAL), DAMAGED),
    "bytes that are no text": (lines(HEADER, sealed(TRIAL).replace(b"beef", b"\xff\xfe\xfd\xfc"), TRIAL), DAMAGED),
    "an empty line within": (lines(HEADER, b"\n", TRIAL), DAMAGED),
    "two lines in one": (lines(HEADER, sealed(TRIAL)[:-1] + sealed(TRIAL)), DAMAGED),
    "a trial twice": (
        lines(HEADER, TRIAL, TRIAL),
        "line 3: found trial 0 for the second time, expected each trial once",
    ),
    "a limit that never grows": (header(limits={"depth": [2, 1, 0]}), "line 1: found limits …, expected what a …"),
    "a limit of 400 digits": (header(limits={"depth": [10**400, 0, 1]}), "line 1: found limits …, expected what …"),
    "no epochs": (header(recipe={"epochs": 0}), "line 1: found recipe …, expected what a search writes there; …"),
    "epochs in letters": (header(recipe={"epochs": "two"}), "line 1: found recipe …, expected what a search …"),
    "a length of 400 digits": (header(length=10**400), "line 1: found length …, expected what a search writes …"),
    "a reward of 400 digits": (trial(reward=10**400), "line 2: found no sound trial (reward is …), expected the …"),
    "a latency of letters": (trial(latency_ms=["fast"]), "line 2: found no sound trial (latency_ms is …), expected …"),
    "a latency of one number": (trial(latency_ms=1.5), "line 2: found no sound trial (latency_ms is 1.5), expected …"),
    "a rule that is no text": (header(stop=[1]), "line 1: found stop …, expected what a search writes there; …"),
    "a bound of letters": (header(max_params="few"), "line 1: found max_params 'few', expected what a search writes …"),
    "a bound below 0": (header(max_madds=-1), "line 1: found max_madds -1, expected what a search writes there; …"),
    "a batch of letters": (header(latency="64"), "line 1: found latency '64', expected what a search writes there; …"),
    "how images were loaded in letters": (header(loaded="all"), "line 1: found loaded 'all', expected what a search …"),
    "half of how they were loaded": (header(loaded={"images": 8}), "line 1: found loaded …, expected what a search …"),
    "loaded at no size": (
        header(loaded={"images": None, "largest": 0, "image_size": None, "skip_corrupt": False}),
        "line 1: found loaded …, expected what a search writes there; …",
    ),
    "an option that is no text": (header(choices={"width": [16, 32]}), "line 1: found choices …, expected what …"),
    "a header twice": (
        lines(HEADER, HEADER, TRIAL),
        "line 2: found the header of a search, expected a trial; of two …",
    ),
    "nested deep": (raw('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}"), DAMAGED),
    "a number of 5,000 digits": (raw('{"trial": ' + "9" * 5000 + "}"), DAMAGED),
    "NaN": (raw('{"trial": 0, "reward": NaN}'), DAMAGED),
    "Infinity": (raw('{"trial": 0, "reward": -Infinity}'), DAMAGED),
    "an empty record": (raw('{ "": 0}'), UNSOUND),
    # headers
    **{
        f"no {name}": (
            without(name),
            f"ledger.jsonl, line 1: found {name} None, expected what a search writes there; …",
        )
        for name in HEADER
        if name not in ("format", "limits", "child_timeout")
    },
    "a space that is a number": (header(space=5), "line 1: found space 5, expected what a search writes there; …"),
    "choices that are a list": (header(choices=[]), "line 1: found choices [], expected what a search writes there; …"),
    "a seed in letters": (header(seed="0"), "line 1: found seed '0', expected what a search writes there; …"),
    "a seed of true": (header(seed=True), "line 1: found seed True, expected what a search writes there; …"),
    "no validation images": (
        header(validation=0),
        "line 1: found validation 0, expected what a search writes there; …",
    ),
    "minus one window": (header(window=-1), "line 1: found window -1, expected what a search writes there; …"),
    "a length of half": (header(length=0.5), "line 1: found length 0.5, expected what a search writes there; …"),
    "a recipe that is a text": (
        header(recipe="quick"),
        "line 1: found recipe 'quick', expected what a search writes …",
    ),
    # trials
    "a trial in letters": (trial(trial="0"), UNSOUND),
    "a trial below zero": (trial(trial=-1), UNSOUND),
    "trial 10^12": (trial(trial=10**12), UNSOUND),
    "half a trial": (trial(trial=0.5), UNSOUND),
    "answers in letters": (trial(answers="01"), UNSOUND),
    "answers of texts": (trial(answers=["0"]), UNSOUND),
    "answers of true": (trial(answers=[True]), UNSOUND),
    "no answers": (trial(answers=None), UNSOUND),
    "a key that is a number": (trial(key=5), UNSOUND),
    "a network that is a list": (trial(network=[]), UNSOUND),
    "a reward in letters": (trial(reward="0.5"), UNSOUND),
    "a reward of 1e999": (raw(json.dumps(TRIAL).replace('"reward": 0.5', '"reward": 1e999')), UNSOUND),
    "a reward without accuracy": (trial(accuracy=[], loss=[]), UNSOUND),
    "accuracy above 1": (trial(accuracy=[1.5]), UNSOUND),
    "accuracy below 0": (trial(accuracy=[-0.5]), UNSOUND),
    "accuracy in letters": (trial(accuracy="0.5"), UNSOUND),
    "accuracies of lists": (trial(accuracy=[[0.5]]), UNSOUND),
    "parameters in letters": (trial(params="10"), UNSOUND),
    "seconds of nothing": (trial(seconds=None), UNSOUND),
    "a time in letters": (trial(at="noon"), UNSOUND),
    "an error that is a number": (trial(error=5), UNSOUND),
    "the same as a text": (trial(same_as="0"), UNSOUND),
    "figures that are a list": (trial(figures=[0.5]), UNSOUND),
    "figures in letters": (trial(figures={"entropy": "high"}), UNSOUND),
    "a field too many": (trial(colour="red"), UNSOUND),
    "all failed": (lines(HEADER, FAILED), "expected one at least"),
}

# What lies in the folder of a search in place of a ledger.
PLACES: dict[str, tuple[Callable[[], object], str]] = {
    "nothing": (
        lambda: None,
        "a: found no ledger.jsonl, expected the folder of a search; name one that `nas search` …",
    ),
    "a folder": (
        lambda: Path("a", FILE).mkdir(),
        "a: found no ledger.jsonl, expected the folder of a search; name one …",
    ),
    "a pipe": (lambda: os.mkfifo(f"a/{FILE}"), "a: found no ledger.jsonl, expected the folder of a search; name one …"),
    "a link to nowhere": (
        lambda: Path("a", FILE).symlink_to("b"),
        "a: found no ledger.jsonl, expected the folder of …",
    ),
    "a link to itself": (
        lambda: Path("a", FILE).symlink_to(FILE),
        "a: found no ledger.jsonl, expected the folder of …",
    ),
    "a device": (lambda: Path("a", FILE).symlink_to("/dev/zero"), "a: found no ledger.jsonl, expected the folder of …"),
}

SEARCH = "search small.py:Small --workers 0 --device cpu --images 100 --trials 2 --controller random --out a"
SMALL = """
from nas import Block, Choice, Network, Space

class Small(Space):
    width = Choice(16, 32)

    def build(self, pick):
        return Network(8, (Block("conv", pick(self.width)),))
"""


# To compare searches is to compare failed children too.
READ = [
    (name, command)
    for name in LEDGERS
    for command in ("show a", "plot a", "compare a")
    if command != "compare a" or name not in ("all failed", "a header alone")
]


@pytest.mark.parametrize(("name", "command"), READ)
def test_a_ledger_that_is_none_is_refused(refused: Callable[..., None], name: str, command: str) -> None:
    content, said = LEDGERS[name]
    Path("a").mkdir()
    Path("a", FILE).write_bytes(content)
    refused(command, said)


@pytest.mark.parametrize("name", [name for name in LEDGERS if name not in ("empty", "half a header", "all failed")])
def test_no_search_goes_on_with_what_is_no_ledger_of_its_own(refused: Callable[..., None], name: str) -> None:
    Path("small.py").write_text(SMALL)
    Path("a").mkdir()
    Path("a", FILE).write_bytes(LEDGERS[name][0])
    refused(SEARCH, "found …, expected …")


@pytest.mark.parametrize("command", ["show a", "plot a", "compare a"])
@pytest.mark.parametrize("name", PLACES)
def test_what_is_no_file_is_no_ledger(refused: Callable[..., None], name: str, command: str) -> None:
    make, said = PLACES[name]
    Path("a").mkdir()
    make()
    refused(command, said)


@pytest.mark.parametrize("name", ["a folder", "a pipe", "a device"])
def test_no_search_begins_where_something_else_lies(refused: Callable[..., None], name: str) -> None:
    Path("small.py").write_text(SMALL)
    Path("a").mkdir()
    PLACES[name][0]()
    refused(
        SEARCH, "a/ledger.jsonl: found no regular file, expected a search's ledger or nothing; choose another --out"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "plot a --out b.png/c.png",
            "b.png/c.png: found …, expected a picture that can be written; choose another --out",
        ),
        (
            "plot a --out folder.png",
            "folder.png: found Is a directory, expected a picture that can be written; choose …",
        ),
        ("plot a --out /dev/null/a.png", "/dev/null/a.png: found …, expected a picture that can be …"),
        (f"plot a --out {'a' * 300}.png", "found File name too long, expected a picture that can be written; choose …"),
        (
            "plot a --what healht",
            "--what: found 'healht'; did you mean health?, expected rewards, health or pareto; …",
        ),
        ("plot a b", "b: found no ledger.jsonl, expected the folder of a search; name one that `nas search` wrote"),
        (
            "compare a --out b.png",
            "b.png: found File exists, expected a folder that can be written to; choose another …",
        ),
        (f"compare a --out {'a' * 300}", "found File name too long, expected …"),
        (
            "compare a --budget 9",
            "a (1): found searches with fewer different networks trained than 9, expected equal …",
        ),
        ("compare a --against rnadom", "--against: found 'rnadom'; did you mean random?, expected one of random"),
        ("compare a --against ''", "--against: found '', expected one of random"),
        (
            "compare a copy",
            "copy: found the search of a with the same seed 0, expected searches that differ in something",
        ),
        ("compare a other", "other: found mnist, expected digits as in a; compare searches of the same space, …"),
    ],
)
def test_a_sound_ledger_with_wrong_options_is_refused(refused: Callable[..., None], words: str, said: str) -> None:
    ledgers = {"a": lines(HEADER, TRIAL), "copy": lines(HEADER, TRIAL), "other": header(data="mnist", seed=1)}
    for name, content in ledgers.items():
        Path(name).mkdir()
        Path(name, FILE).write_bytes(content)
    Path("b.png").write_bytes(b"mine")
    Path("folder.png").mkdir()
    refused(words, said)
