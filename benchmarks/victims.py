"""What faults happen to: children that go wrong where they are trained, and searches that die while they write.

NAS_NOTES names the file in which each training leaves a line; NAS_FAULT says what is wrong with every second child.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
import zlib
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NoReturn

from controllers.evolution import Evolution
from nas import data
from nas.cluster import ray
from nas.ledger import FILE
from nas.network import Images, Network
from nas.pool import Job, RayPool, Serial, Training
from nas.reward import Result
from nas.search import search
from nas.space import Pick
from search_spaces.chain import Chain

if TYPE_CHECKING:
    from torch import Tensor, nn

NOTES, FAULT = "NAS_NOTES", "NAS_FAULT"
ROOM = 2**30  # bytes that a child of limited memory may have beside what its process has
WINDOW = 16  # of quick searches

CUTS = {  # where a search dies that writes a line of `size` bytes: after so many of them
    "before the write": lambda size: 0,
    "after the first byte": lambda size: 1,
    "in the middle of the line": lambda size: size // 2,
    "before the newline": lambda size: size - 1,
    "between write and sync": lambda size: size,
    "after the sync": None,
}


def note(training: str) -> None:
    """One more line in the notes, whole whatever happens next."""
    descriptor = os.open(os.environ[NOTES], os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, f"{training}\n".encode())
    os.close(descriptor)


def is_ill(key: str) -> bool:
    """Whether this network is one of those that NAS_FAULT befalls."""
    return int(key, 16) % 2 == 0


# --- real children ---


class Victims(Chain):
    """The chain space, of victims."""

    def build(self, pick: Pick) -> Network:
        """The same networks with the same keys."""
        network = super().build(pick)
        return Victim(network.input_size, network.blocks)


class Victim(Network):
    """A network whose training is noted when it begins, and which may be ill."""

    def module(self, images: Images) -> nn.Module:
        """The same weights, under something that goes wrong."""
        fault = os.environ.get(FAULT, "") if is_ill(self.key) else ""
        if fault == "build" and ray().is_initialized():  # not where the command line looks at the space
            raise RuntimeError("it raised while it was built")
        return _watched(super().module(images), self.key, fault)


def _watched(module: nn.Module, key: str, fault: str) -> nn.Module:
    import torch
    from torch import nn

    class Back(torch.autograd.Function):
        @staticmethod
        def forward(_: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(*_: object) -> NoReturn:
            raise RuntimeError("it raised on the way back")

    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.begun = module, False

        def forward(self, x: Tensor) -> Tensor:
            if self.training and not self.begun:
                self.begun = True
                note(key)
                _befall(fault, key)
            logits: Tensor = self.inner(x)
            if fault == "backward" and self.training:
                return Back.apply(logits)  # type: ignore[no-any-return]
            if fault == "nan loss":
                return logits * torch.nan
            if fault == "infinite loss":  # all but the first class are impossible
                impossible = torch.full_like(logits, -torch.inf)
                impossible[:, 0] = 0 * logits[:, 0] if self.training else 0
                return impossible
            return logits

    return Watched()


def _befall(fault: str, key: str) -> None:
    """What happens as a child begins to train."""
    import torch

    if fault == "worker killed" and Path(os.environ[NOTES]).read_text().count(key) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "hang":
        time.sleep(3600)
    if fault == "forward":
        raise RuntimeError("it raised on the way forward")
    if fault == "gpu memory":
        if torch.cuda.is_available():
            torch.empty(2**44, dtype=torch.uint8, device="cuda")
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 16.00 TiB")
    if fault == "host memory":
        _take_too_much()
    if fault == "memory monitor":
        taken = []
        while True:  # until Ray sees it
            taken.append(torch.ones(2**26))
            time.sleep(0.05)


def _take_too_much() -> None:
    """Ask for eight times the memory that there is; it is limited for so long, and really refused."""
    import torch

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + ROOM, before[1]))
    try:
        torch.ones(8 * ROOM, dtype=torch.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


# --- quick children ---


class Quick(Training):
    """Trains nothing: an accuracy is made up of the answers."""

    def ready(self) -> int:
        """At once, and without torch."""
        return 0

    def __call__(self, job: Job) -> Result:
        """Note the trial; each answer in each place has a worth, and the accuracy is their mean."""
        note(str(job.trial))
        worth = fmean(zlib.crc32(b"%d %d" % step) / 2**32 for step in enumerate(job.answers))
        return Result((round(worth, 6),), (round(1 - worth, 6),))


def quick_search(folder: str, trials: str, workers: str) -> None:
    """Search with quick children: on so many Ray workers, or with 0 in this process."""

    def pool(training: Training) -> Serial | RayPool:
        quick = Quick(training.space, training.data, training.recipe, "cpu", training.threads, None)
        return RayPool(quick, int(workers)) if int(workers) else Serial(quick)

    images = data.load("digits", images=100)
    for _ in search(Chain(), Evolution, images, folder, trials=int(trials), pool=pool, window=WINDOW, device="cpu"):
        pass


def dying_search(folder: str, trials: str, line: str, place: str) -> None:
    """The same in this process, killed by SIGKILL at a place in the writing of a line; the header is line 0."""
    write, sync, cut, written = os.write, os.fsync, CUTS[place], 0

    def is_ledger(descriptor: int) -> bool:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name == FILE

    def dying_write(descriptor: int, text: bytes) -> int:
        if is_ledger(descriptor) and written == int(line) and cut is not None:
            write(descriptor, text[: cut(len(text))])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(descriptor, text)

    def dying_sync(descriptor: int) -> None:
        nonlocal written
        sync(descriptor)
        if is_ledger(descriptor):
            if written == int(line):
                os.kill(os.getpid(), signal.SIGKILL)
            written += 1

    vars(os).update(write=dying_write, fsync=dying_sync)
    quick_search(folder, trials, "0")
