"""How children share a GPU: as many at once as get most done together, and through MPS where the machine has it.

Several small children keep a GPU busier than one: alone, each waits for the host between its kernels. Without MPS their
processes take turns on the device; with it their kernels run beside each other (NVIDIA, "Multi-Process Service").
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from nas.errors import UserError
from nas.guard import guarded

MOST = 8  # children at once on a GPU; beyond, contexts cost memory and gain nothing
CLIENTS = 48  # processes that MPS takes on a GPU (NVIDIA, "Multi-Process Service", limitations)
GAIN = 1.1  # how much more must be done for twice as many to be kept
ROOM = 0.9  # share of a GPU's free memory that children are to fill
CONTEXT = 2**29  # bytes of a process on a GPU beside its tensors

PIPES = "CUDA_MPS_PIPE_DIRECTORY"
LOGS = "CUDA_MPS_LOG_DIRECTORY"
DAEMON = "nvidia-cuda-mps-control"

# Opens a context as torch will, in a process of its own, without torch: it takes a tenth of a second.
_PROBE = """
import ctypes
cuda, device, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
raise SystemExit(cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0)
                 or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
"""


class Sharing:
    """How many children run on a GPU at once: twice as many as before, while that gets more done and memory lasts.

    wanted: a fixed number; None to measure, with up to MOST. What is measured is predicted work a second, of children
    beside which at most so many others ran. Either is halved when one of so many runs out of memory or time.
    Raises UserError for a number that no GPU takes.
    """

    def __init__(self, wanted: int | None = None) -> None:
        if wanted is not None and not 1 <= wanted <= CLIENTS:
            raise UserError(f"--per-gpu: found {wanted}, expected 1 to {CLIENTS}, for no GPU runs more at once")
        self.most = wanted or MOST
        self.level = wanted or 1  # children at once, now
        self._settled = wanted is not None
        self._free = 0  # bytes of the GPU's memory, before the first child
        self._peak = 0  # bytes that a child took at most
        self._work = self._seconds = 0.0  # of the children measured at this level
        self._measured = 0  # how many these are
        self._rate = 0.0  # predicted work a second, at half this level

    def found(self, free: int) -> None:
        """A worker is ready, and nobody else has so many bytes of its GPU; the first to say so had it for itself."""
        self._free = self._free or free

    def taken(self, free: int) -> int:
        """Bytes that others than this pool took since the start, with so many free now; 0 for next to none."""
        gone = self._free - free
        return gone if gone > (1 - ROOM) * self._free + CONTEXT else 0

    def crowded(self, at_once: int) -> bool:
        """One of so many children ran out of memory or time; whether fewer run at once from now on."""
        before, self._settled = self.level, True
        self.level = min(self.level, max(1, at_once // 2))
        return self.level < before

    def done(self, work: float, seconds: float, peak: int, beside: int) -> None:
        """A child ended: its predicted work, its seconds, its bytes at most, how many at once there were at most."""
        self._peak = max(self._peak, peak)
        if self._settled or beside != self.level:
            return
        self._work, self._seconds, self._measured = self._work + work, self._seconds + seconds, self._measured + 1
        if self._measured >= 2 * self.level and self._seconds > 0:
            self._move(self.level * self._work / self._seconds)

    def _move(self, rate: float) -> None:
        """To twice as many, or back to half; or stay, where there is no room for more."""
        if rate < GAIN * self._rate:
            self.level, self._settled = self.level // 2, True
        elif 2 * self.level > self.most or 2 * self.level * (self._peak + CONTEXT) > ROOM * self._free:
            self._settled = True
        else:
            self.level *= 2
        self._rate, self._work, self._seconds, self._measured = rate, 0.0, 0.0, 0


@contextlib.contextmanager
def mps() -> Iterator[str]:
    """MPS for the processes begun within, through this process's environment; gives why not, empty where it runs.

    The user's searches on one machine share one daemon: the last to end stops it, also one left by a search that was
    killed. A daemon that the machine's keeper runs is used as it is.
    """
    if PIPES in os.environ:
        yield _opened({})
        return
    if shutil.which(DAEMON) is None:
        yield f"found no {DAEMON}"
        return
    folder = Path(tempfile.gettempdir(), f"nas-mps-{os.getuid()}")
    try:
        lock = _locked(folder)
    except OSError as error:
        yield f"{folder}: {error.strerror}"
        return
    through = _through(folder)
    with guarded(_end, folder), lock:
        try:
            why = _begun(through)
            if not why:
                os.environ.update(through)
            yield why
        finally:
            for name in through:
                os.environ.pop(name, None)


def _locked(folder: Path) -> IO[str]:
    """A lock on the folder of MPS, shared; it is made anew where another search has just removed it."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(0, "it is another user's, or a link")
        with contextlib.suppress(FileNotFoundError):
            lock = (folder / "lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_SH)
            if os.fstat(lock.fileno()).st_nlink:
                return lock
            lock.close()


def _begun(through: Mapping[str, str]) -> str:
    """Start the daemon if none answers, and open a context through it; why not, if that fails."""
    if not _answers(through):
        started = _ran([DAEMON, "-d"], through)
        if started.returncode and not _answers(through):  # another search may have started it meanwhile
            return f"{DAEMON} did not start ({_last(started)})"
    return _opened(through)


def _opened(through: Mapping[str, str]) -> str:
    """Open a context through the daemon; why not, if that fails."""
    probe = _ran([sys.executable, "-c", _PROBE], through)
    return f"no context could be opened through it ({_last(probe)})" if probe.returncode else ""


def _answers(through: Mapping[str, str]) -> bool:
    return _ran([DAEMON], through, "get_server_list").returncode == 0


def _end(folder: Path) -> None:
    """Stop the daemon and remove its folder, unless another search of this user has it."""
    with contextlib.suppress(OSError), (folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _ran([DAEMON], _through(folder), "quit")
        shutil.rmtree(folder, ignore_errors=True)


def _through(folder: Path) -> dict[str, str]:
    """What a process finds the daemon by."""
    return {PIPES: str(folder), LOGS: str(folder)}


def _ran(command: list[str], through: Mapping[str, str], say: str = "") -> subprocess.CompletedProcess[str]:
    """A command that has ended, or was ended after half a minute."""
    environment = {**os.environ, **through}
    try:
        return subprocess.run(
            command, check=False, env=environment, input=f"{say}\n", capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _last(ended: subprocess.CompletedProcess[str]) -> str:
    """What it said last."""
    lines = (ended.stderr or ended.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit status {ended.returncode}"
