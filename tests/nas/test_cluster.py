"""Ray on this machine: one start at a time, and nothing left behind by searches that were killed."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.cluster import _PREFIX, _folder, _in_turn, _not_joined, _uses, sweep

TOOLKIT = Path(__file__).parents[2]


def test_one_search_of_a_user_starts_ray_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with _in_turn():
        other = os.open(tmp_path / ".ray", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_without_a_home_for_the_lock_all_start_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with _in_turn(), _in_turn():
        assert not (tmp_path / "home").is_dir()


HOLDS = "import sys, time; from pathlib import Path; from nas.cluster import _folder\n"
HOLDS += "with _folder(Path(sys.argv[1])) as folder: print(folder, flush=True); time.sleep(600)"


def begun(short: Path, program: str = HOLDS) -> tuple[subprocess.Popen[str], Path]:
    """A process that has a folder of Ray's, and that folder."""
    search = subprocess.Popen([sys.executable, "-c", program, short], cwd=TOOLKIT, stdout=subprocess.PIPE, text=True)
    return search, Path(search.stdout.readline().strip() if search.stdout else "")


def uses(folder: Path) -> tuple[subprocess.Popen[bytes], subprocess.Popen[bytes], subprocess.Popen[bytes]]:
    """Three processes: one that has the folder in its command, one that writes to a file in it, one that reads it."""
    (folder / "ray").mkdir()
    sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
    named = subprocess.Popen([*sleeps, f"--temp-dir={folder}/ray"])
    with (folder / "ray" / "log").open("w") as log:
        writing = subprocess.Popen(sleeps, stdout=log)
    with (folder / "ray" / "log").open() as log:
        return named, writing, subprocess.Popen(sleeps, stdin=log)


def test_the_folder_of_a_dead_search_is_removed_by_the_next_one_with_what_still_uses_it_and_no_others(
    tmp_path: Path,
) -> None:
    living, used = begun(tmp_path)
    (left := tmp_path / f"{_PREFIX}left").mkdir()
    named, writing, reading = uses(left)
    with living, reading:
        with _folder(tmp_path) as own:
            assert sorted(tmp_path.iterdir()) == sorted([used, own])
        assert [named.wait(10), writing.wait(10)] == 2 * [-signal.SIGKILL]
        assert reading.poll() is None
        reading.kill()
        assert list(tmp_path.iterdir()) == [used]
        living.kill()


def test_the_folder_of_a_killed_search_goes_with_it_and_so_does_what_uses_it(tmp_path: Path) -> None:
    search, folder = begun(tmp_path)
    named, writing, reading = uses(folder)
    with search, reading:
        search.kill()
        assert [named.wait(30), writing.wait(30)] == 2 * [-signal.SIGKILL]
        reading.kill()
    until = time.monotonic() + 60
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []


OPENS = "import os, sys; log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
OPENS += "os.dup2(log, 500); os.close(log); print(flush=True)  # as the last one of many\n"
OPENS += "while True: [file.close() for file in [open('/dev/null') for _ in range(50)]]"


def test_a_process_is_found_by_the_file_it_writes_whatever_else_it_opens_and_closes_meanwhile(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENS, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writing:
        assert writing.stdout is not None
        writing.stdout.readline()
        found = [_uses(Path(f"/proc/{writing.pid}"), tmp_path) for _ in range(200)]
        writing.kill()
    assert all(found)


HOLDS_A_LOG = HOLDS.replace("print(", "log = open(folder / 'log', 'w'); print(").replace("sleep(600)", "sleep(1)")


def test_a_search_that_is_just_ending_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    ending, folder = begun(tmp_path, HOLDS_A_LOG)
    with ending:
        while ending.poll() is None:
            sweep(tmp_path)  # as other searches do when they begin
    assert ending.returncode == 0
    assert not folder.exists()


def test_a_ctrl_c_while_the_folder_is_being_removed_leaves_nothing(tmp_path: Path) -> None:
    ending, folder = begun(tmp_path, HOLDS.replace("sleep(600)", "sleep(0)"))
    with ending:
        ending.send_signal(signal.SIGINT)
    until = time.monotonic() + 60
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []


JOINS = "import sys; from contextlib import ExitStack; from nas.cluster import connect\n"
JOINS += "with ExitStack() as closing: connect(sys.argv[1], 1, closing)"
MEND = "expected that of its first machine; copy ~/.ray/auth_token from there, and set RAY_AUTH_MODE=token here"


def test_who_has_no_token_is_told_where_it_is(tmp_path: Path) -> None:
    variables = os.environ | {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        joining = [sys.executable, "-c", JOINS, address]
        done = subprocess.run(joining, cwd=TOOLKIT, env=variables, capture_output=True, text=True, check=False)
    said = f"Ray at {address}: found no token that it takes (RAY_AUTH_MODE is token), {MEND}\n"
    assert done.stderr.endswith(said)


def test_so_is_who_has_another_one_or_does_not_send_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    refused = ConnectionError("Failed to connect to Ray cluster at 127.0.0.1:6379")  # as Ray 2.60 says it
    refused.__cause__ = RuntimeError(
        "Failed to connect to GCS. Last connection error: Traceback (most recent call last):\n"
        "ray.exceptions.AuthenticationError: RPC error: InvalidAuthToken: Authentication token is missing or incorrect."
    )
    assert _not_joined(refused) == f"found no token that it takes (RAY_AUTH_MODE is not set), {MEND}"
