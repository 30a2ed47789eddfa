"""The search's memory: one folder, one file, a header line and then a line a finished trial.

The format, version 1. `ledger.jsonl` is UTF-8 text. Each line is one JSON object whose last field, "sum", is the CRC-32
of the line as it would stand without that field, in eight hexadecimal digits. The first line is the header: "format"
and what the search is a function of; then "code", "versions", "cpu" and "gpu" of the machine that began it, which are a
record and no condition: a search goes on under others, and keeps these. Each further line is a trial, in the order in
which they finished: "trial", "answers", "key", "network", "reward", "error", "same_as", "at", then "figures" if the
controller says any of itself (names and numbers, of the moment when it was asked), and the result if a child was
trained, with "bar" if that child was stopped: by epoch the least accuracy with which it would have gone on.
A line that the end of the file cuts off is a write that a crash interrupted: it is dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, Self

from nas.errors import UserError
from nas.reward import Result

FORMAT = 1
FILE = "ledger.jsonl"
RECORDS = ("code", "versions", "cpu", "gpu")  # of a header: what the search was begun with


@dataclass(frozen=True)
class Trial:
    """One number in the search's sequence: what was answered, what came of it."""

    trial: int
    answers: tuple[int, ...]
    key: str
    network: str  # the network as written
    reward: float | None  # None for a failed child
    result: Result | None  # None for a repeat
    error: str | None = None
    same_as: int | None = None  # the trial whose network this is
    at: float = 0.0  # seconds after the search began, its interruptions left out
    figures: Mapping[str, float] | None = None  # what the controller said of itself when it was asked

    @property
    def trained(self) -> bool:
        """Whether a network was trained for it, with success or without: it is no repeat, and was not refused."""
        return self.same_as is None and not (self.error or "").startswith("refused")

    @property
    def scored(self) -> bool:
        """Whether a network was trained for it, and has a reward."""
        return self.same_as is None and self.reward is not None

    @property
    def stopped(self) -> bool:
        """Whether a network was trained for it, and not to its end: its reward is an estimate."""
        return self.result is not None and bool(self.result.bar)


class Ledger:
    """An open ledger, locked for this process; `header` and `trials` are what was in it when it was opened.

    Raises UserError if it cannot be written, if another process has it open, or if it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._made = [made for made in (folder, *folder.parents) if not made.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        except OSError as error:
            raise UserError(
                f"{folder}: found {error.strerror}, expected a folder to write to; choose another --out"
            ) from None
        try:
            _lock(self._file.fileno(), folder)
            self.header, self.trials, whole = _parse(self.path)
        except UserError:
            self._file.close()
            raise
        if whole < self.path.stat().st_size:
            os.truncate(self.path, whole)  # the torn last line

    def check(self, header: Mapping[str, Any]) -> None:
        """Raise UserError if the search that lies here has another header; "length" is its own affair."""
        if self.header is not None:
            _compare(self.path.parent, self.header, {"format": FORMAT, **header})

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the header of a new search."""
        begun = {"format": FORMAT, **header}
        self._write(begun)
        self.header = begun
        _sync_folder(self.path.parent)

    def append(self, trial: Trial) -> None:
        """Write one finished trial; it is on the disk when this returns."""
        self._write(_as_line(trial))

    def close(self) -> None:
        """Release the lock; a search that never began leaves nothing behind."""
        if self.header is None:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # of a folder that something else was put into
                for made in self._made:
                    made.rmdir()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        self._file.write(sealed(record))
        self._file.flush()
        os.fsync(self._file.fileno())


def read(folder: Path) -> tuple[dict[str, Any], list[Trial]]:
    """The header and the trials of a search, in the order in which they finished; nothing is changed or locked.

    Raises UserError if there is no ledger, or if it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder}: found no {FILE}, expected the folder of a search; name one that `nas search` wrote")
    header, trials, _ = _parse(path)
    if header is None:
        raise UserError(f"{path}: found no header line, expected a search that has begun; delete the folder")
    return header, trials


def sealed(record: Mapping[str, Any]) -> bytes:
    """The record as one line of JSON with its checksum."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return f'{text[:-1]}, "sum": "{zlib.crc32(text.encode()):08x}"}}\n'.encode()


def unsealed(line: bytes) -> dict[str, Any]:
    """The record of a line, without its checksum; raises ValueError if the two do not agree."""
    text, mark, checksum = line.rpartition(b', "sum": ')
    whole = text + b"}"
    if not mark or checksum != b'"%08x"}' % zlib.crc32(whole):
        raise ValueError("its checksum is missing or wrong")
    record: dict[str, Any] = json.loads(whole)
    return record


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"{folder}: found another search writing here, expected none; wait for it to end, or choose another --out"
        ) from None


def _parse(path: Path) -> tuple[dict[str, Any] | None, list[Trial], int]:
    """Header, trials, and the bytes up to the end of the last whole line."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    lines = content[:whole].splitlines()
    if not lines:
        return None, [], 0
    records = [_record(path, number, line) for number, line in enumerate(lines, 1)]
    if records[0].get("format") != FORMAT:
        raise UserError(
            f"{path}, line 1: found format {records[0].get('format')!r}, expected {FORMAT}; "
            "it was written by another version of this toolkit: use that one, or choose another --out"
        )
    trials: dict[int, Trial] = {}
    for number, record in enumerate(records[1:], 2):
        trial = _as_trial(path, number, record)
        if trial.trial in trials:
            raise UserError(
                f"{path}, line {number}: found trial {trial.trial} for the second time, expected each trial once; "
                "delete the line that should not be there"
            )
        trials[trial.trial] = trial
    return records[0], list(trials.values()), whole


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return unsealed(line)
    except ValueError as error:
        raise UserError(
            f"{path}, line {number}: found a damaged line ({error}), expected one JSON record with its checksum; "
            f"restore the line from a copy, or delete it and all after it to search on from there"
        ) from None


_RESULT = [field.name for field in fields(Result) if field.name not in ("error", "confusion")]


def _as_line(trial: Trial) -> dict[str, Any]:
    """Flat, in the order of the format; the confusion counts serve rewards and are not kept."""
    line = asdict(trial)
    result = line.pop("result")
    if line["figures"] is None:
        del line["figures"]
    return line | ({} if result is None else {name: result[name] for name in _RESULT if name != "bar" or result["bar"]})


_NUMBER = (int, float)
_OF_ONE: dict[str, tuple[type, ...]] = {
    "trial": (int,), "key": (str,), "network": (str,), "reward": (*_NUMBER, NoneType), "error": (str, NoneType),
    "same_as": (int, NoneType), "at": _NUMBER, "figures": (dict, NoneType), "params": (int, NoneType),
    "madds": (int, NoneType), "seconds": _NUMBER, "memory": (int, NoneType), "precision": (str, NoneType),
}  # fmt: skip
_OF_MANY: dict[str, tuple[type, ...]] = {"answers": (int,), "accuracy": _NUMBER, "loss": _NUMBER, "bar": _NUMBER}


def _as_trial(path: Path, number: int, record: dict[str, Any]) -> Trial:
    try:
        for name, value in record.items():
            _check_kind(name, value)
        curves = {name: record.pop(name) for name in _RESULT if name in record}
        error = record["error"]
        result = None
        if curves:
            accuracy, loss, bar = tuple(curves.pop("accuracy")), tuple(curves.pop("loss")), tuple(curves.pop("bar", ()))
            result = Result(accuracy, loss, **curves, error=error, bar=bar)
        return Trial(**{**record, "answers": tuple(record["answers"]), "result": result})
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}, line {number}: found no sound trial ({error}), expected the fields of format {FORMAT}; restore "
            "the line from a copy, or delete it and all after it to search on from there"
        ) from None


def _check_kind(name: str, value: object) -> None:
    """Raise TypeError for a value that the field of this name cannot have; JSON's true is no number."""
    kinds = _OF_MANY.get(name)
    if kinds and type(value) is list and all(type(one) in kinds for one in value):
        return
    if kinds or type(value) not in _OF_ONE.get(name, (type(value),)):
        raise TypeError(f"{name} is {_short(value)}")


def _compare(folder: Path, found: Mapping[str, Any], expected: Mapping[str, Any], within: str = "") -> None:
    for name, here in expected.items():
        there = found.get(name)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            _compare(folder, {**dict.fromkeys(here), **there}, {**dict.fromkeys(there), **here}, f"{name} ")
        elif name != "length" and there != here:
            raise UserError(
                f"{folder}: found a search with {within}{name} {_short(there)}, expected {_short(here)} as in this "
                "command; give the same options to go on with it, or choose another --out"
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]} …"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
