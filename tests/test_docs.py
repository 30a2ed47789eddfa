"""What README and the tutorials say is run here, with fewer trials; what they list is held against the code."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import pytest
import typer
from nbclient import NotebookClient
from pdoc.extract import walk_specs
from PIL import Image
from typer.testing import CliRunner

from benchmarks.faults import marked
from nas import data, names
from nas.blocks import KINDS
from nas.cli_app import app
from nas.preset import PRESETS
from nas.recipe import RECIPES
from nas.reward import PRICES, REWARDS

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
    pictures(place / "photos")
    return place


def pictures(folder: Path) -> None:
    """A folder of images as the tutorials have it."""
    for part, (number, name) in itertools.product(("train", "test"), enumerate(("cat", "dog"))):
        (folder / part / name).mkdir(parents=True)
        for image in range(10):
            Image.new("RGB", (16, 16), (100 * number, 10 * image, 0)).save(folder / part / name / f"{image}.png")


def typed(command: str) -> None:
    """Run a command line in this process and folder, with few trials and images, and without Ray."""
    command = re.sub(r"--images \d+", "--images 100", re.sub(r"--trials \d+", "--trials 3", command))
    words = shlex.split(command)
    assert words.pop(0) == "nas"
    if words[0] == "watch":
        assert "is at http://127.0.0.1:" in watched(*words, "--port", "0")
        return
    if words[0] == "finish":
        words += ["--workers", "0", "--no-random", "--top", "1", "--seeds", "1", "--epochs", "1"]
    if words[0] == "search":
        words += ["--workers", "0"] + ([] if "--images" in words or ":" in command else ["--images", "100"])
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output


def run(folder: Path, *command: str, **variables: str) -> str:
    return said_by([sys.executable, *command], folder, variables)


def said_by(command: list[str], folder: Path, variables: Mapping[str, str]) -> str:
    """What a command says that ends well."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": paths, **variables}, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def watched(*words: str) -> str:
    """What a command that serves says first; then it is ended."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "nas", *words], env=environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        running.terminate()
    assert running.returncode == 128 + signal.SIGTERM
    return said


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_readme_runs(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    typed(command)


def test_the_python_of_readme_searches(folder: Path) -> None:
    assert len(run(folder, "script.py").splitlines()) == 3


def test_readme_shows_every_command() -> None:
    used = {shlex.split(command)[1] for command in COMMANDS}
    assert used == {command.callback.__name__ for command in app.registered_commands if command.callback}


def test_readme_lists_every_file_of_the_core() -> None:
    files = {path.name for path in (ROOT / "nas").glob("**/*.py")} - {"__init__.py", "__main__.py", "errors.py"}
    assert files == {name for name in files if name in README}


@pytest.mark.parametrize(
    "known",
    [data.names(), (*REWARDS, *PRICES), tuple(KINDS), tuple(PRESETS)],
    ids=["data", "rewards", "blocks", "presets"],
)
def test_readme_names_every_built_in(known: tuple[str, ...]) -> None:
    assert set(known) == {name for name in known if f"`{name}`" in README}


def test_the_reference_has_a_page_for_every_module() -> None:
    make = shutil.which("make")
    assert make
    words = [make, "--dry-run", "--no-print-directory", "reference"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    asked = said.rpartition("build/reference")[2].replace("\\\n", " ").split()
    packages = ("nas", "search_spaces", "controllers", "benchmarks")
    paths = [path.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*.py")]
    paths = [path.parent if path.name == "__init__.py" else path.with_suffix("") for path in paths]
    assert {".".join(path.parts) for path in paths} - {"nas.__main__"} == set(walk_specs(asked))


def test_help_names_every_recipe_and_every_preset() -> None:
    command = next(c for c in app.registered_commands if c.callback and c.callback.__name__ == "search")
    text = " ".join(str(hint) for hint in (command.callback.__annotations__ if command.callback else {}).values())
    assert {*RECIPES, *PRESETS} == {name for name in (*RECIPES, *PRESETS) if name in text}


def test_every_space_and_controller_says_where_it_comes_from() -> None:
    for kind in [*names.spaces().values(), *names.controllers().values()]:
        text = sys.modules[kind.__module__].__doc__ or ""
        assert re.search(r"\b(19|20)\d\d\b", text) or kind.__name__ == "Chain", kind


# --- benchmarks, which take too long to be run here ---

TEXT = "\n".join([README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))])
MEASURING = re.findall(r"^python -m benchmarks(?:.*\\\n)*.*|(?<=`)python\s-m\sbenchmarks[^`]*", TEXT, re.MULTILINE)


def test_every_benchmark_that_is_spoken_of_is_found() -> None:
    assert len(MEASURING) == len(re.findall(r"python\s-m\sbenchmarks\.", TEXT)) > 10


@pytest.mark.parametrize("command", sorted(set(MEASURING)))
def test_the_arguments_of_a_benchmark_are_those_that_it_takes(command: str) -> None:
    module, *words = shlex.split(command.replace("\\\n", " "))[2:]
    made = typer.main.get_command(importlib.import_module(module).app)
    if words and words[0] in getattr(made, "commands", {}):  # as in stopping replay
        made = made.commands[words.pop(0)]  # type: ignore[attr-defined]
    made.make_context(module, words).close()  # parses them, and runs nothing


# --- tutorials ---

PAGES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "README.md")
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MORE = "--min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0 --object-store-memory=100000000"


@contextlib.contextmanager
def cluster(page: Path, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Two nodes, started as the page says but for ports and sizes: their address, and the variables to search there."""
    first, other = re.findall(r"^```\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray", ignore_cleanup_errors=True) as home:  # sockets: short
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        variables = {"HOME": home, "PATH": path, "NAS_MARK": home}

        def shell(text: str, options: str) -> str:
            text = re.sub("^ray start .*", rf"\g<0> {options} {MORE} --disable-usage-stats", text, flags=re.MULTILINE)
            return said_by(["sh", "-ec", text], folder, variables)

        try:
            head = f"--num-cpus=0 --node-ip-address=127.0.0.5 --include-dashboard=false --temp-dir={home}/1"
            said = shell(first.replace("--port=6379", "--port=0"), head)
            found = re.search(r"--address='([\d.:]+)'", said)
            assert found, said
            assert (Path(home) / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
            shell(other.replace("FIRST:6379", found[1]), "--num-cpus=2 --node-ip-address=127.0.0.6")
            yield found[1], variables | {"RAY_AUTH_MODE": "token"}
        finally:
            while left := marked(home):
                for process in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)


def on_a_cluster(page: Path, command: str, folder: Path) -> None:
    """Run a command with a cluster of two nodes at FIRST:6379."""
    with cluster(page, folder) as (address, variables):
        words = shlex.split(command.replace("FIRST:6379", address).replace("--trials 30", "--trials 3"))
        run(folder, "-m", *words, "--images", "100", "--workers", "1", **variables)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorials_files_and_commands_run_in_its_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    ran = 0
    for language, text in FENCED.findall(page.read_text()):
        if language == "python":
            (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
        for command in text.splitlines() if language == "console" else []:
            if "--address" in command:
                on_a_cluster(page, command, tmp_path)
            elif command.startswith("python "):
                run(tmp_path, *shlex.split(command)[1:])
            else:
                typed(command)
            ran += 1
    assert ran


def test_the_tutorials_controller_has_fewer_than_forty_lines_and_is_pure() -> None:
    text = next(
        text for language, text in FENCED.findall((ROOT / "docs/controller.md").read_text()) if language == "python"
    )
    assert len(text.splitlines()) < 40


def test_the_tutorials_are_all_listed() -> None:
    text = (ROOT / "docs/README.md").read_text()
    assert all(f"({page.name})" in text for page in [*PAGES, ROOT / "docs/tour.ipynb"])


def test_the_notebook_runs() -> None:
    book = nbformat.read(ROOT / "docs/tour.ipynb", 4)
    for cell in book.cells:
        cell.source = cell.source.replace("trials = 20", "trials = 3").replace("images=600", "images=100")
        cell.source = cell.source.replace("partial(RayPool, workers=2)", "Serial").replace("RayPool", "Serial")
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    assert any("image/png" in output.get("data", {}) for cell in book.cells for output in cell.get("outputs", []))
