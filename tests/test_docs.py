"""What README says is run here, with fewer trials and in this process; what it lists is held against the code."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from nas import data, names
from nas.blocks import KINDS
from nas.cli import app
from nas.preset import PRESETS
from nas.recipe import RECIPES
from nas.reward import REWARDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of README in this language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("console") for line in block.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the reader's files in it; commands leave there what later ones use."""
    place = tmp_path_factory.mktemp("reader")
    space, script = blocks("python")
    (place / "mine.py").write_text(space)
    (place / "script.py").write_text(script.replace("trials=20", "trials=3").replace("workers=2", "workers=1"))
    for part in ("train", "test"):
        for number, name in enumerate(("cat", "dog")):
            (place / "photos" / part / name).mkdir(parents=True)
            for image in range(10):
                Image.new("RGB", (16, 16), (100 * number, 10 * image, 0)).save(
                    place / f"photos/{part}/{name}/{image}.png"
                )
    return place


def run(folder: Path, *command: str) -> str:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_readme_runs(command: str, folder: Path) -> None:
    words = shlex.split(re.sub(r"--trials \d+", "--trials 3", command))
    assert words.pop(0) == "nas"
    if words[0] == "search":
        words += ["--workers", "0"] + ([] if "--images" in words or "folder" in command else ["--images", "200"])
    assert run(folder, "-m", "nas", *words)


def test_the_python_of_readme_searches(folder: Path) -> None:
    assert len(run(folder, "script.py").splitlines()) == 3


def test_readme_shows_every_command() -> None:
    used = {shlex.split(command)[1] for command in COMMANDS}
    assert used == {command.callback.__name__ for command in app.registered_commands if command.callback}


def test_readme_lists_every_file_of_the_core() -> None:
    files = {path.name for path in (ROOT / "nas").glob("*.py")} - {"__init__.py", "__main__.py", "errors.py"}
    assert files == {name for name in files if name in README}


@pytest.mark.parametrize(
    "known",
    [data.names(), tuple(REWARDS), tuple(KINDS), tuple(PRESETS)],
    ids=["data", "rewards", "blocks", "presets"],
)
def test_readme_names_every_built_in(known: tuple[str, ...]) -> None:
    assert set(known) == {name for name in known if f"`{name}`" in README}


def test_help_names_every_recipe_and_every_preset() -> None:
    command = next(c for c in app.registered_commands if c.callback and c.callback.__name__ == "search")
    text = " ".join(str(hint) for hint in (command.callback.__annotations__ if command.callback else {}).values())
    assert {*RECIPES, *PRESETS} == {name for name in (*RECIPES, *PRESETS) if name in text}


def test_every_space_and_controller_says_where_it_comes_from() -> None:
    for kind in [*names.spaces().values(), *names.controllers().values()]:
        text = sys.modules[kind.__module__].__doc__ or ""
        assert re.search(r"\b(19|20)\d\d\b", text) or kind.__name__ == "Chain", kind
