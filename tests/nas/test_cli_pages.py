"""The commands draw, report and watch as they are typed; what they show is tested in `tests/nas/pages`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from controllers.q_learning import QLearning
from nas import ledger
from nas.cli_app import app
from nas.cli_pages import watch
from nas.data import load
from nas.errors import UserError
from nas.pool import Job, Serial
from nas.reward import Result
from nas.search import search
from search_spaces.chain import Chain

ROOT = Path(__file__).parents[2]


def judged(job: Job) -> Result:
    return Result((sum(job.answers) / 200,), (1.0,), 1, 1, 0.1)  # which the choices explain for sure


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("search")
    data = load("digits", images=100)
    # what each network costs is checked against the space when a search is resumed, not when it is looked at
    for _ in search(Chain(), QLearning, data, place, trials=25, pool=lambda _: Serial(judged), device="cpu"):
        pass
    return place


def nas(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.replace("\n", "")


def test_report_writes_a_page_beside_the_ledger(folder: Path) -> None:
    assert nas("report", str(folder)) == f"report: {folder / 'report.html'}"
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("what", ["network", "preferences", "importance", "path"])
def test_draw_writes_each_drawing(folder: Path, tmp_path: Path, what: str) -> None:
    assert nas("draw", str(folder), "--what", what, "--out", str(tmp_path / "one.svg"))
    texts = [text.text for text in ElementTree.parse(tmp_path / "one.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"network": "classifier", "preferences": "width", "importance": "all together", "path": "depth 1"}[
        what
    ] in texts


def test_draw_takes_the_network_of_any_trial(folder: Path) -> None:
    assert nas("draw", str(folder), "--trial", "3") == f"drawing: {folder / 'network-3.svg'}"


def test_a_space_of_ones_own_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("from search_spaces import chain\nclass Chain(chain.Chain):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    assert nas("draw", str(folder), "--what", "path", "--space", "mine.py:Chain", "--out", "path.svg")


def test_where_the_space_is_ones_own_and_not_named_it_is_said_what_is_not_seen(folder: Path, tmp_path: Path) -> None:
    header, trials = ledger.read(folder)
    lines = [ledger._as_line(trial) for trial in trials]
    lines = [line | {"network": "network 1: 8 concat gap: mine.gate width=4"} for line in lines]
    own = header | {"space": "Small()", "sources": {"mine.Small": "0"}}
    (tmp_path / ledger.FILE).write_bytes(b"".join(map(ledger.sealed, [own, *lines])))
    said = "The space is one's own and was not named, so networks are drawn from their text, and what was learnt is " \
           "not shown; give --space mine.py:Small, with its folder."  # fmt: skip
    assert said in nas("report", str(tmp_path)).replace("  ", " ")
    assert said in nas("draw", str(tmp_path), "--trial", "3")
    for text in ((tmp_path / "report.html").read_text(), (tmp_path / "network-3.svg").read_text()):
        assert "From the first block at the top to the last." in text
        assert "classifier" not in text
        assert "channels ×" not in text
    assert "give --space mine.py:Small" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("name", "mend"), [("a.txt", "a search's folder"), (ledger.FILE, "its folder, .*")])
def test_a_file_is_not_watched(name: str, mend: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=f"found a file, expected a folder of a search.*; name {mend}$"):
        watch(tmp_path / name)


def test_watch_serves_the_page_until_ctrl_c(folder: Path) -> None:
    command = [sys.executable, "-m", "nas", "watch", str(folder), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "300"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        address = said.split(" is at ")[1].split(";")[0]
        with urllib.request.urlopen(address, timeout=60) as page:  # noqa: S310 - our own address
            assert "Chain on digits" in page.read().decode()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "ended" in out
    assert err == ""
