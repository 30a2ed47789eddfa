"""What a process has others clean up after it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLKIT = Path(__file__).parents[2]

HOLDS = """
import os, signal, sys, time
from pathlib import Path
from shutil import rmtree
from nas.guard import guarded
{before}
with guarded(rmtree, Path(sys.argv[1])):
    Path(sys.argv[1]).mkdir()
    {then}
"""


def held(folder: Path, then: str, before: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", HOLDS.format(then=then, before=before), str(folder)]
    return subprocess.run(command, cwd=TOOLKIT, capture_output=True, text=True, check=False, timeout=60)


def test_what_is_to_be_cleaned_up_is_when_a_block_ends(tmp_path: Path) -> None:
    assert held(tmp_path / "left", "pass").returncode == 0
    assert not (tmp_path / "left").exists()


def test_a_path_that_is_no_text_is_passed_over_as_python_does(tmp_path: Path) -> None:
    assert held(tmp_path / "left", "pass", before="sys.path.insert(0, Path('/'))").returncode == 0
    assert not (tmp_path / "left").exists()


def test_what_a_killed_guard_leaves_is_cleaned_up_by_its_owner(tmp_path: Path) -> None:
    kills = "os.kill(int(Path('/proc/self/task', str(os.getpid()), 'children').read_text()), signal.SIGKILL)"
    assert held(tmp_path / "left", kills).returncode == 0
    assert not (tmp_path / "left").exists()


@pytest.mark.parametrize(
    ("end", "status"),
    [("os._exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", -9), ("os.kill(0, signal.SIGINT)", -signal.SIGINT)],
)
def test_what_a_process_leaves_is_cleaned_up_however_it_ends(tmp_path: Path, end: str, status: int) -> None:
    leads = f"os.setpgid(0, 0); signal.signal(signal.SIGINT, signal.SIG_DFL); {end}"
    assert held(tmp_path / "left", leads).returncode == status
    until = time.monotonic() + 60
    while (tmp_path / "left").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not (tmp_path / "left").exists()
