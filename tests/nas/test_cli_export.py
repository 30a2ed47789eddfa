"""`nas export` and `nas search --tensorboard`, as they are typed."""

from __future__ import annotations

import importlib
import shlex
from collections.abc import Callable
from pathlib import Path

import optuna
import pandas as pd
import pytest
import typer

from nas.cli_app import app
from nas.errors import UserError

SEARCH = "search chain -c random --images 100 --workers 0 --out s --trials"


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Run a command in a folder where a search of two trials lies, with its curves."""
    folder = tmp_path_factory.mktemp("here")
    importlib.import_module("nas.cli_export")  # puts its command beside the others
    command = typer.main.get_command(app)

    def run(words: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            command(shlex.split(words), standalone_mode=False)

    run(f"{SEARCH} 2 --tensorboard")
    return run


def test_a_search_becomes_a_study_a_table_and_curves(
    typed: Callable[[str], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    typed(f"export s --optuna {url} --study mine --csv {tmp_path}/a.csv --tensorboard {tmp_path}/board")
    said = capsys.readouterr().out
    assert "study 'mine': 2 trials added, 2 in all" in said
    assert "a.csv, 2 trials" in said
    assert len(optuna.load_study(study_name="mine", storage=url).trials) == 2
    assert pd.read_csv(tmp_path / "a.csv")["trial"].tolist() == [0, 1]
    assert (tmp_path / "board" / "trial 0001").is_dir()


def test_a_search_writes_curves_as_it_runs(typed: Callable[[str], None], tmp_path: Path) -> None:
    typed(f"export s --csv {tmp_path}/a.csv")  # where the curves are, the table is made
    typed(f"{SEARCH} 3 --tensorboard")
    with pytest.raises(UserError, match="found no ledger"):
        typed("export s/tensorboard --csv a.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("export s", "expected --onnx FILE, --torch FILE, --optuna URL, --csv FILE or --tensorboard DIR"),
        ("export none --csv a.csv", r"found no ledger\.jsonl"),
        ("export s --optuna study.db", r"expected the URL of a database, as in sqlite:///study\.db"),
        ("export s --csv s/ledger.jsonl/a.csv", r"^s/ledger\.jsonl/a\.csv: found .*, expected a file to write; name"),
        ("export s --csv a.csv --study x", r"^--study: found it without --optuna, expected"),
        ("export s --csv a.csv --image x.png", r"^--image: found it without --onnx or --torch, expected"),
        ("export s --csv a.csv --data digits", r"^--data: found it without --onnx or --torch"),
        ("export s --csv a.csv --trust", r"^--trust: found it without --onnx or --torch"),
        ("export s --tensorboard b --space chain", r"^--space: found it without --optuna or --csv"),
        ("export s --csv a.csv --space metaqnn", "found a search of Chain"),
        ("export s --csv a.csv --space chian", "did you mean chain"),
    ],
)
def test_what_cannot_be_exported_is_said(typed: Callable[[str], None], words: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        typed(words)
