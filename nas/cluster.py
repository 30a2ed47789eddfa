"""Ray: started on this machine for one search alone, or a running cluster; nothing of it is left behind."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

from nas.errors import UserError
from nas.guard import guarded
from nas.machine import cores

TRIES = 3  # to start Ray
LONGEST_END = 10.0  # seconds until what is left of Ray is given up: on a busy machine a killed process takes its time


_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^A worker died or was killed"  # what is to be said of it, a trial's error says
    r"|WARNING: \d+ PYTHON worker processes have been started",  # as many as were asked for
}


@cache
def ray() -> Any:
    """Ray, imported when first needed: it takes half a second."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray as module

    return module


def connect(address: str | None, workers: int | None, closing: ExitStack) -> None:
    """Start Ray here, or join the cluster at this address; closing: ends what was begun.

    Raises UserError if it does not start, or cannot be reached.
    """
    options: dict[str, Any] = {}
    try:
        if address:
            reach(address)
        else:  # data lie in a mapped file and results are small: the least object store is enough
            options = {"object_store_memory": 100 * 2**20, **closing.enter_context(alone(workers or cores()))}
        closing.callback(lambda: ray().shutdown())
        _init(address or "local", options)
    except Exception as error:  # Ray raises plain ones too
        raise UserError(
            f"Ray at {address}: {_not_joined(error)}"
            if address
            else f"Ray on this machine: found {last_line(error.__cause__ or error)}, expected it to start; --workers 0 "
            "does without it"
        ) from None


def _not_joined(error: Exception) -> str:
    """What was found where a cluster was to be joined, and what to do."""
    if "AuthenticationError" in f"{type(error).__name__} {error.__cause__}":
        found = f"no token that it takes (RAY_AUTH_MODE is {os.environ.get('RAY_AUTH_MODE', 'not set')})"
        mend = "that of its first machine; copy ~/.ray/auth_token from there, and set RAY_AUTH_MODE=token here"
    else:
        found = last_line(error.__cause__ or error)
        mend = "a cluster to join; start one with `ray start --head` and give its address, or leave out --address"
    return f"found {found}, expected {mend}"


def _init(address: str, options: Mapping[str, Any], tries: int = TRIES) -> None:
    """Connect, or start Ray; once more where it gave up after half a minute, as on a machine with much to do."""
    try:
        with _in_turn() if address == "local" else nullcontext(), _handler_kept():
            ray().init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except Exception as error:
        if "timed out during startup" not in str(error) or tries == 1:
            raise
        _init(address, options, tries - 1)


@contextmanager
def _handler_kept() -> Iterator[None]:
    """Ray sets one for SIGTERM that ends a process with its stack on the terminal, and nothing closed."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _in_turn() -> Iterator[None]:
    """One of a user's searches at a time: Ray takes all cores for some seconds to start, and gives up after thirty."""
    folder = None
    with suppress(OSError, RuntimeError):  # without a home, or a file system with locks: then all at once
        folder = os.open(_private(), os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if folder is not None:
            os.close(folder)


def _private() -> Path:
    """The folder where Ray leaves its token, for all to read but that the folder is this user's alone."""
    folder = Path.home() / ".ray"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    return folder


@contextmanager
def alone(cpus: int) -> Iterator[dict[str, Any]]:
    """What Ray is started with on this machine alone: its ports on loopback, its files and its token this user's."""
    constants = ray()._private.ray_constants
    clusters, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False  # with them 127.0.0.1 is not taken
    with suppress(OSError, RuntimeError):  # without a home
        _private()
    try:
        with _folder(_short()) as folder:
            files = f"{folder}/ray"  # Ray opens this one to all
            network = {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
            yield {"num_cpus": cpus, "_temp_dir": files, **network}
    finally:
        constants.ENABLE_RAY_CLUSTER = clusters


_PREFIX = f"nas-ray-{os.getuid()}-"


def sweep(short: Path | None = None) -> None:
    """Remove what is left of Ray of this user's searches that were killed; a living one's folder is locked."""
    for left in (short or _short()).glob(f"{_PREFIX}*"):
        _sweep(left)


def _short() -> Path:
    return Path(os.environ.get("RAY_TMPDIR", "/tmp"))  # noqa: S108  a socket's name has little room


@contextmanager
def _folder(short: Path) -> Iterator[Path]:
    """A folder for Ray's files, removed at the end with all that is left of Ray, however this process ends."""
    sweep(short)
    folder = short / f"{_PREFIX}{secrets.token_hex(4)}"  # known before it is there, so that no Ctrl-C can leave it
    with ExitStack() as locked, guarded(_remove, folder):
        locked.callback(os.close, _locked(folder))  # until it is removed: another search would take it for a dead one's
        yield folder


def _locked(folder: Path) -> int:
    """Make the folder, and a lock on it, which the system frees when its owner dies."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):  # another search took it for a dead one's, for it was not locked yet
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return lock
            os.close(lock)


def _sweep(folder: Path) -> None:
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder of Ray's, and kill those of its processes that are left: they end by themselves, but later."""
    until = time.monotonic() + LONGEST_END
    clean = 0  # looks, one after the other: a process of Ray's that is just being started is found by the second
    while clean < 2 and time.monotonic() < until:
        users = [process for process in Path("/proc").glob("[0-9]*") if _uses(process, folder)]
        for process in users:
            with suppress(OSError):
                os.kill(int(process.name), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
        clean = 0 if users or folder.exists() else clean + 1
        time.sleep(0.05)


def _uses(process: Path, folder: Path) -> bool:
    """Whether a process has the folder in its command, or, as some rename themselves, writes to a file in it.

    Not this one, nor the search that it is a guard of: both have Ray's logs open.
    """
    with suppress(OSError):  # it has ended, or is another user's
        if int(process.name) not in (os.getpid(), os.getppid()):
            named = b"=" + os.fsencode(folder) in (process / "cmdline").read_bytes()
            return named or any(_writes(file, folder) for file in (process / "fd").iterdir())
    return False


def _writes(file: Path, folder: Path) -> bool:
    with suppress(FileNotFoundError):  # the process has closed it just now
        return bool(file.lstat().st_mode & stat.S_IWUSR) and file.readlink().is_relative_to(folder)
    return False


def reach(address: str) -> None:
    """Raise OSError if nothing listens at host:port, or where auto leads; Ray itself would wait for minutes."""
    found = ray()._private.services.canonicalize_bootstrap_address(address) if address == "auto" else address
    host, _, port = found.rpartition(":")
    if port.isdecimal() and "://" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


def last_line(error: BaseException) -> str:
    """What an error says last, as Ray's say it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
