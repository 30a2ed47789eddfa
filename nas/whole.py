"""A file that is there whole or not at all, whatever happens while it is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nas.errors import UserError


@contextmanager
def whole_file(file: Path, expected: str = "a file that can be written; choose another --out") -> Iterator[Path]:
    """Another name to write to, in a folder that is made if need be; at the end that takes the file's place.

    A pipe, or a device as /dev/stdout, is written to as it is. Raises UserError where it cannot be written, with what
    was expected and how to mend it; what was there stays.
    """
    try:
        if file.exists() and not file.is_file() and not file.is_dir():
            yield file
        else:
            with _beside(file.resolve()) as unfinished:
                yield unfinished
    except OSError as error:
        raise UserError(f"{file}: found {error.strerror or error}, expected {expected}") from None


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    unfinished = file.with_name(f".{os.getpid()}.{file.name}")  # with its suffix, by which some writers choose a format
    try:
        if not file.parent.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        unfinished.replace(file)
    finally:
        with suppress(OSError):
            unfinished.unlink()
