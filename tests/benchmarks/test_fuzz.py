"""The fuzzing program sees what it looks for, and its inputs are the same again."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from benchmarks.fuzz import KINDS, Input, Outcome, outcome, spoilt
from nas.errors import UserError

ROOT = Path(__file__).parents[2]

program = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@program.command()
def end(how: str) -> None:
    """End in one of several ways."""
    if how == "sentence":
        raise UserError("how: found a sentence, expected one; all is well")
    if how == "traceback":
        sys.stderr.write("Traceback (most recent call last):\n")
    if how == "escape":
        sys.stdout.write("\x1b[2J")
    if how == "status":
        raise typer.Exit(3)
    if how == "never":
        time.sleep(60)


@pytest.mark.parametrize(
    ("how", "wrong"),
    [
        ("well", ""),
        ("sentence", ""),
        ("traceback", "a traceback"),
        ("escape", "a control character on the terminal"),
        ("status", "status 3"),
        ("never", "no end within 60 s"),
    ],
)
def test_what_does_not_end_well_is_named(tmp_path: Path, how: str, wrong: str) -> None:
    assert outcome(Input([how], program, "end"), tmp_path, 2 if how == "never" else 60).wrong == wrong


def test_status_2_without_what_was_found_and_expected_is_wrong() -> None:
    assert Outcome(2, "", "nas: no\n").wrong == "no found and expected"
    assert not Outcome(2, "", "Usage: nas\n").wrong


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_is_the_same_input_again(tmp_path: Path, kind: str) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        given = KINDS[kind](random.Random("0 7"), tmp_path / name)
        files = [path for path in sorted((tmp_path / name).rglob("*")) if path.is_file() and path.suffix != ".npz"]
        made.append((given.words, [path.read_bytes() for path in files if kind != "images"]))
    assert made[0] == made[1]


def test_what_is_spoilt_is_another() -> None:
    content = bytes(range(100))
    assert sum(spoilt(random.Random(n), content) != content for n in range(100)) > 80


def test_inputs_are_spoilt_and_all_of_them_end_well() -> None:
    words = ["--seconds", "100", "--most", "4", "--kind", "ledgers", "--kind", "tables"]
    command = [sys.executable, "-m", "benchmarks.fuzz", *words]  # it forks, and must be without other tests' threads
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 inputs from number 0 on, seed 0: " in done.stdout
