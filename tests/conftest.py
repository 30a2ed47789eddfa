"""What holds for all tests of one process, whichever of them come first; and the command line, as it is typed."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from nas import cli, cli_app, cluster

os.environ["OMP_NUM_THREADS"] = "1"  # files of tests run beside each other, and torch waits for what is not its own
os.environ.update(cluster._SETTINGS)  # which Ray looks at when it is imported, by a test that does so itself too
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with & ignores it, and so would children

LONGEST = ("test_docs", "test_pool", "test_faults", "test_throughput", "test_soak", "test_finish", "test_saved")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first, so that none of them is left to one process at the end."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.fixture(autouse=True, scope="module")
def no_users_modules_stay() -> Iterator[None]:
    """What a file of tests imported from a temporary folder goes with it: the next may have a mine.py of its own."""
    before = list(sys.path)
    yield
    sys.path[:] = before
    for name, module in list(sys.modules.items()):
        if "/pytest-of-" in str(getattr(module, "__file__", None)):
            del sys.modules[name]


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Nas = Callable[..., Done]


@pytest.fixture
def nas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Nas:
    """The command line, run by its words in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.run(cli_app.app)
        return Done(int(end.value.code or 0), *capsys.readouterr())

    return run
