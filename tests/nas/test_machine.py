from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np

from nas import machine


def test_versions_are_those_that_run() -> None:
    found = machine.versions(("numpy", "no-such-package"))
    assert found == {"python": platform.python_version(), "numpy": np.__version__, "no-such-package": None}


def test_the_code_has_a_version() -> None:
    assert machine.code()["nas-rl"] == machine.version("nas-rl") is not None


def test_the_processor_has_a_name() -> None:
    assert machine.cpu().strip()


def test_there_are_no_more_cores_than_the_process_may_use() -> None:
    assert 1 <= machine.cores() <= len(os.sched_getaffinity(0))


def test_nothing_heavy_is_imported_to_say_so() -> None:
    program = """
import sys
from nas import machine
machine.code(), machine.versions(), machine.cpu(), machine.gpu()
sys.exit(bool({"torch", "numpy", "matplotlib"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
