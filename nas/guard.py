"""A process that cleans up after this one, however it ends: by itself, by a second Ctrl-C, or killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_WAIT = """
import os, pathlib, sys, time
from {module} import {name} as clean
if not sys.stdin.read():
    while os.getppid() == int(sys.argv[2]):
        time.sleep(0.01)
clean(pathlib.Path(sys.argv[1]))
"""  # whose owner dies has its files and locks until it is dead, a little longer than it has this one's input


@contextmanager
def guarded(clean: Callable[[Path], object], path: Path) -> Iterator[None]:
    """Another process calls clean(path) at the end, or when this one ends before; clean: a function of our modules.

    If that one was killed, this one does it at the end.
    It is a program of its own and not a fork, which Ray's and torch's threads do not outlive; no Ctrl-C comes to it.
    """
    code = _WAIT.format(module=clean.__module__, name=clean.__name__)
    guard = subprocess.Popen(
        [sys.executable, "-P", "-c", code, path, str(os.getpid())],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if isinstance(path, str))},
        start_new_session=True,
        stdin=subprocess.PIPE,  # closed by the system when this process ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        guard.communicate(b"end")
        if guard.returncode < 0:  # it was killed
            with suppress(OSError):
                clean(path)
