"""What figures come from, as a record: code, versions, processor and its cores, memory, GPU; and the device."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import UserError

if TYPE_CHECKING:
    import torch

PACKAGES = ("torch", "numpy")  # whose sums a child's are


def code() -> dict[str, str | None]:
    """The version of this toolkit, and the commit it is at: "-dirty" where files differ from it."""
    return {"nas-rl": version("nas-rl"), "commit": _commit()}


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str | None]:
    """Of Python and of these packages; none of them is imported."""
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def version(package: str) -> str | None:
    """As it is installed; None where it is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu() -> str:
    """The processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


@cache
def gpu() -> str | None:
    """The models of this machine's NVIDIA GPUs, each once; None where the driver knows of none."""
    names = _said(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return ", ".join(dict.fromkeys(names.splitlines())) if names else None


@cache
def _commit() -> str | None:
    """None where the code is no checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():  # installed; a checkout around it would be another's
        return None
    return _said(["git", "-C", str(root), "describe", "--always", "--dirty"])


def _said(command: list[str]) -> str | None:
    """What a command printed; None where it is missing, fails or takes ten seconds."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def device(name: str) -> torch.device:
    """What "cpu", "cuda" and "auto", a GPU where there is one, come to here.

    Raises UserError for "cuda" where there is none.
    """
    import torch

    cuda = torch.cuda.is_available()
    if name == "cuda" and not cuda:
        raise UserError("device cuda: found no GPU that torch can use here, expected one; use --device cpu")
    return torch.device("cuda" if cuda and name != "cpu" else "cpu")


def cores() -> int:
    """The cores that this process may use, and that its container has time on."""
    usable = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(usable, int(quota) // int(period)))
    except (OSError, ValueError):  # no container's, or without a limit
        return usable


def memory() -> int:
    """Bytes that this machine has, or its container may have."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(there, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container's, or "max"
        return there
