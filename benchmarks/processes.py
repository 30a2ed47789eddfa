"""Many searches side by side, in processes of one thread each, and how far they are."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import typer
from rich.console import Console
from threadpoolctl import threadpool_limits

from nas import cli
from nas.errors import UserError

T = TypeVar("T")

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def side_by_side(work: Callable[..., T], tasks: Sequence[tuple[Any, ...]], workers: int) -> Iterator[T]:
    """work(*task) of each task, in any order; with several workers in processes of their own, to which `work` travels.

    One thread does the sums in each process, in this one too where it is the only one: more would give other sums.
    Raises UserError if a process dies, and whatever `work` raises.
    """
    if workers == 1:
        with _one_thread():
            yield from (work(*task) for task in tasks)
        return
    others = set(multiprocessing.active_children())
    spawning = multiprocessing.get_context("spawn")
    workers = min(workers, len(tasks))
    executor = ProcessPoolExecutor(workers, spawning, _keep, (work,))
    try:
        with _as_workers_need():
            futures = [executor.submit(_work, task) for task in tasks[:workers]]  # each begins a process
        futures += [executor.submit(_work, task) for task in tasks[workers:]]
        for future in as_completed(futures):
            yield future.result()
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "workers: found that one died, expected all to live; give fewer --workers if memory ran out"
            ) from None
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def watched(coming: Iterator[T], count: int, lost: str) -> list[T]:
    """What comes of `count` searches, with a live line on a terminal and elsewhere a line now and then.

    lost: what Ctrl-C means, as a sentence's end; it ends the program.
    """
    begun = printed = time.monotonic()
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    status = err.status(f"0 of {count} searches") if err.is_terminal else None
    done: list[T] = []
    try:
        with status or contextlib.nullcontext():
            for one in coming:
                done.append(one)
                now = time.monotonic()
                left = (now - begun) / len(done) * (count - len(done))
                line = f"{len(done):,} of {count:,} searches, about {left:,.0f} s left"
                if status:
                    status.update(line)
                elif now - printed > 10:
                    printed = now
                    err.print(line)
    except KeyboardInterrupt:
        err.print(f"stopped after {len(done):,} of {count:,} searches; {lost}")
        raise typer.Exit(130) from None
    return done


def command(name: str) -> str:
    """What was typed to run this benchmark, to repeat it from a shell."""
    return shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])


def anew_with_one_thread(name: str) -> None:
    """Begin this benchmark again unless libraries had one thread when they were imported, which is when they ask."""
    if not ONE_THREAD.items() <= os.environ.items():
        words = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]
        os.execve(sys.executable, words, os.environ | ONE_THREAD)  # noqa: S606  this program


def run(app: typer.Typer, name: str) -> None:
    """A command line; what a user can mend is one message, and exit status 2."""
    cli.run(app, name)


_kept: list[Callable[..., Any]] = []  # in a worker's process, what it does with each task


def _keep(work: Callable[..., Any]) -> None:
    _kept.append(work)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _work(task: tuple[Any, ...]) -> Any:
    return _kept[0](*task)


@contextlib.contextmanager
def _as_workers_need() -> Iterator[None]:
    """Processes begun meanwhile have one thread for sums and never see Ctrl-C; here it takes effect at the end."""
    waiting: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by processes, unlike a handler
    try:
        with _one_thread():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if waiting and callable(handler):
        handler(signal.SIGINT, None)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for sums: of the libraries here, of those imported meanwhile, and of processes begun meanwhile."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        os.environ.update({name: value for name, value in before.items() if value is not None})
        for name in (name for name, value in before.items() if value is None):
            del os.environ[name]
