"""The ledger of a finish: one file, a header line, then a line a finished training, and one with the outcome.

Lines are sealed as those of a search's ledger are (`nas.ledger`): each is one JSON object with its checksum, on the
disk before anyone hears of it. A beginning of a line at the end of the file is a write that a crash interrupted: it is
dropped. Any other damage is an error that names the line.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from nas.errors import UserError
from nas.ledger import is_sealed, put, sealed, unsealed
from nas.space import shorten

FORMAT = 1
FOLDER, FILE, RANDOM = "finish", "trainings.jsonl", "random"  # of a search, a folder, and in it a file and a search


class Lines:
    """An open file of lines, locked for this process; `header` and `records` are what is in it.

    Raises UserError if it cannot be written, if another process has it open, or if it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UserError(
                f"{path.parent}: found another `nas finish` writing here, expected none; wait for it to end"
            ) from None
        except OSError as error:
            raise UserError(f"{path.parent}: found {error.strerror}, expected a folder to write to") from None
        try:
            self.header, self.records = self._read()
        except UserError:
            self._file.close()
            raise

    def check(self, header: Mapping[str, Any]) -> None:
        """Raise UserError, by the first field that differs, if what was begun here has another header."""
        for name, here in {"format": FORMAT, **header}.items():
            there = here if self.header is None else self.header.get(name)
            if there != here:
                raise UserError(
                    f"{self.path.parent}: found a finish begun with {name} {shorten(repr(there))}, expected "
                    f"{shorten(repr(here))} as it is now, for the search, its images or this toolkit changed since; "
                    f"restore these, or remove {self.path} to begin anew"
                )

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the header."""
        self.header = {"format": FORMAT, **header}
        self._write(self.header)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record; it is on the disk when this returns."""
        self._write(record)
        self.records.append(dict(record))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.header is None:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        put(self._file, self.path, sealed(record))

    def _read(self) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """What the file has, after its torn last line is cut off and a missing last line break put in."""
        *lines, tail = self.path.read_bytes().split(b"\n")
        begun = tail.rstrip(b"\0")  # which a loss of power leaves of what was to be written
        if not (whole := is_sealed(begun)) and not begun.startswith(b'{"'[: len(begun)]):
            raise self._damaged(len(lines) + 1, "it begins otherwise")
        os.truncate(self.path, sum(len(line) + 1 for line in lines) + len(begun) * whole)
        if whole:
            put(self._file, self.path, b"\n")
            lines.append(begun)
        records = [self._record(number, line) for number, line in enumerate(lines, 1)]
        if records and "format" not in records[0]:
            raise self._damaged(1, "it is no header")
        return (records[0], records[1:]) if records else (None, [])

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            return unsealed(line)
        except (ValueError, RecursionError) as error:
            raise self._damaged(number, str(error)) from None

    def _damaged(self, number: int, found: str) -> UserError:
        return UserError(
            f"{self.path}, line {number}: found a damaged line ({found}), expected one JSON record with its checksum; "
            f"restore the line from a copy, or remove {self.path} to begin anew"
        )
