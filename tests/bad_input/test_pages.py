"""What `nas draw`, `nas report` and `nas watch` refuse."""

import json
import socket
from pathlib import Path

import pytest

from nas.ledger import sealed
from tests.bad_input.conftest import Refused

LEDGERS = Path(__file__).parents[1] / "nas" / "ledgers"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Searches: one that is whole, one that is empty, one that all failed in, one that is damaged."""
    lines = (LEDGERS / "0993464.jsonl").read_bytes().splitlines(keepends=True)
    trials = [json.loads(line) for line in lines[1:]]
    failed = [
        sealed({name: value for name, value in trial.items() if name != "sum"} | {"reward": None, "error": "diverged"})
        for trial in trials
    ]
    for name, found in {
        "whole": lines, "empty": lines[:1], "failed": [lines[0], *failed],
        "damaged": [lines[0], b'{"trial": 0}\n', *lines[2:]],
    }.items():  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "ledger.jsonl").write_bytes(b"".join(found))
    (tmp_path / "bare").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        ("report bare", "bare: found no ledger.jsonl, expected the folder of a search"),
        ("report nowhere", "nowhere: found no ledger.jsonl"),
        ("report empty", "empty: found no trial with a reward, expected one at least; give it more time"),
        ("report failed", "failed: found no trial with a reward, expected one at least; …"),
        ("report damaged", "line 2: found a damaged line"),
        ("report whole --out whole/ledger.jsonl/a.html", "a.html: found Not a directory, expected a file that can …"),
        ("report whole --out bare", "bare: found …, expected a file that can be written"),
        ("report whole --beside bare", "bare: found no ledger.jsonl"),
        ("report whole --beside empty", "with the same seed"),
        ("report whole --space nothing", "space: found 'nothing'"),
        ("report whole --space zoph", "whole: found a search of Chain(), expected one of Zoph(…) as in this command"),
        ("report whole --space none.py:Mine", "none.py: found no such file"),
        ("draw bare", "bare: found no ledger.jsonl"),
        ("draw empty", "found no trial with a reward"),
        ("draw failed", "found no trial with a reward"),
        ("draw whole --trial 9999", "--trial: found 9999, expected the number of one of the"),
        ("draw whole --trial -1", "--trial"),
        ("draw whole --what nettwork", "--what: found 'nettwork'; did you mean network?"),
        ("draw whole --what path --trial 1", "--trial: found it with --what path"),
        ("draw whole --out picture.jpg", "picture.jpg: found the suffix '.jpg', expected .svg"),
        ("draw whole --out whole/ledger.jsonl/one.svg", "one.svg: found Not a directory, expected a file that …"),
        ("watch damaged --port 0", "line 2: found a damaged line"),
        ("watch whole --port 70000", "--port"),
        ("watch whole --space nothing", "space: found 'nothing'"),
    ],
)
def test_it_is_refused_with_a_sentence(refused: Refused, runs: Path, words: str, piece: str) -> None:
    refused(words, piece)


def test_a_port_in_use_is_refused(refused: Refused, runs: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(f"watch whole --port {port}", f"--port: found {port} taken or not allowed")
