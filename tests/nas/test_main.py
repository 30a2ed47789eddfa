"""How a command ends that is told to: at the first signal in order, at the second at once, wherever it is just then."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOLKIT = Path(__file__).parents[2]

BEGINS = "import os, signal, time\nprint('begun', flush=True)\n"
WAITS = "time.sleep(600)"
IN_C = """
import ctypes, threading
lock = ctypes.create_string_buffer(64)
threading.Timer(0.5, print, ["begun"], {"flush": True}).start()
for _ in "ab":
    ctypes.CDLL(None).pthread_mutex_lock(lock)
"""
WHERE_NOTHING_IS_RAISED = """
class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(600)
Closing()
"""
IN_AN_EVAL = "exec('time.sleep(600)')"


def begun(tmp_path: Path, then: str) -> subprocess.Popen[str]:
    """A command that reads a user's file, which says that it has begun, and then goes on like this."""
    (tmp_path / "mine.py").write_text(then)
    environment = os.environ | {"PYTHONPATH": str(TOOLKIT)}
    command = [sys.executable, "-m", "nas", "check", "mine.py:Small"]
    running = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "begun\n"
    return running


IN_ORDER = """
import time
try:
    print("begun", flush=True)
    time.sleep(600)
finally:
    time.sleep(0.5)
    print("in order", flush=True)
"""


@pytest.mark.parametrize("between", [0.0, 0.02])
def test_a_signal_that_comes_twice_at_a_time_is_one(tmp_path: Path, between: float) -> None:
    """As `timeout` sends it, to the program and to its group, and as the kernel does beside a shell."""
    with begun(tmp_path, IN_ORDER) as running:
        running.send_signal(signal.SIGHUP)
        time.sleep(between)
        running.send_signal(signal.SIGHUP)
        assert running.wait(60) == 129
        assert running.stdout is not None
        assert running.stdout.read() == "in order\n"


def worked(running: subprocess.Popen[str]) -> float:
    """Seconds of a core that a process has had."""
    fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("then", [BEGINS + WAITS, BEGINS + IN_AN_EVAL])
def test_one_signal_ends_a_command_with_its_status(tmp_path: Path, sent: signal.Signals, then: str) -> None:
    with begun(tmp_path, then) as running:
        running.send_signal(sent)
        assert running.wait(60) == 128 + sent


def test_a_second_signal_ends_a_command_that_is_in_a_library_and_hears_of_none(tmp_path: Path) -> None:
    with begun(tmp_path, IN_C) as running:
        running.send_signal(signal.SIGINT)
        before = worked(running)
        time.sleep(1)
        assert running.poll() is None
        assert worked(running) - before < 0.3  # it looks ten times a second whether the signal was heard
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 128 + signal.SIGTERM


def line(terminal: int) -> bytes:
    """What comes to a terminal until a line ends; of one write it may get a part first."""
    found = b""
    while not found.endswith(b"\n"):
        found += os.read(terminal, 100)
    return found


def test_a_second_signal_leaves_a_terminal_its_cursor(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    (tmp_path / "mine.py").write_text(IN_C)
    command = [sys.executable, "-m", "nas", "check", "mine.py:Small"]
    with subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(TOOLKIT)}, stdout=its) as running:
        assert line(ours) == b"begun\r\n"
        while running.poll() is None:  # a busy machine may take two for one
            running.send_signal(signal.SIGINT)
            time.sleep(0.5)
        assert line(ours) == b"\x1b[?25h\r\n"
    os.close(its)
    os.close(ours)


def test_a_signal_where_python_raises_nothing_is_heard_after_it(tmp_path: Path) -> None:
    with begun(tmp_path, BEGINS + WHERE_NOTHING_IS_RAISED + WAITS) as running:
        assert running.wait(60) == 130
        assert running.stderr is not None
        assert "ignored" not in running.stderr.read()
