"""The search's memory: one folder, one file, a header line and then a line a finished trial.

The format, version 1. `ledger.jsonl` is UTF-8 text. Each line is one JSON object whose last field, "sum", is the CRC-32
of the line as it would stand without that field, in eight hexadecimal digits.
The first line is the header: "format"; what the search is a function of: "space", "choices", "limits", "controller",
"parameters", "data", "training", "validation", "fingerprint", "recipe", "reward", "seed", "threads", "child_timeout",
"stop" if there is a rule, "latency" (images in the batch whose latency is measured too), "max_params", "max_madds" and
"max_latency_ms" where they are set, "sources" (what of the user's own code it runs, each with a checksum), "window",
"length";
then "code", "versions", "cpu" and "gpu" of the machine that began it, and "loaded", how its data were loaded: "images",
"largest", "image_size" and "skip_corrupt" as `nas.data.load` was given them, or null for data that it did not load.
These are a record and no condition: a search goes on under others, and keeps these.
Each further line is a trial, in the order in which they finished, which is a record too: "trial", "answers", "key",
"network", "reward", "error", "same_as", "at"; "figures" if the controller says any of itself (names and numbers, of the
moment when it was asked); and if a child was trained "accuracy", "loss", "params", "madds", "seconds", "memory",
"precision", and "bar" if it was stopped: by epoch the least likelihood with which it would have gone on. If it was
measured, "latency_ms" and "batch_latency_ms", each median, lower and upper quartile, and "peak_memory", in bytes; these
differ from run to run, and what is here is not measured again. A network that was refused by its cost has the same
fields, as far as they are known. Older ledgers lack "figures", "memory", "precision", "sources", what is measured and
the header's record.

A beginning of a line at the end of the file, or zeros, is a write that a crash or a loss of power interrupted: it is
dropped. A whole line that lacks its line break there is kept. Any other damage is an error that names the line.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import math
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, Self

from nas.errors import UserError
from nas.reward import Result

FORMAT = 1
FILE = "ledger.jsonl"
LOOKS = 4  # at a ledger that is locked
MACHINE = ("code", "versions", "cpu", "gpu")  # of a header: what the search was begun with
RECORDS = (*MACHINE, "loaded")  # of a header: what is no condition


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
    def refused(self) -> bool:
        """Whether it is a new network that was not trained: it cannot be built, or costs too much."""
        return self.same_as is None and not self.trained

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
            self._file = self.path.open("ab", buffering=0)  # what could not be written is in no buffer, to come later
        except OSError as error:
            raise UserError(
                f"{folder}: found {error.strerror}, expected a folder to write to; choose another --out"
            ) from None
        try:
            _lock(self._file.fileno(), folder)
            found = _parse(self.path)
        except UserError:
            self._file.close()
            raise
        self.header: dict[str, Any] | None = found.header
        self.trials = found.trials
        if found.whole < self.path.stat().st_size:
            os.truncate(self.path, found.whole)  # the torn last line
        if not found.ended:
            put(self._file, self.path, b"\n")

    def check(self, header: Mapping[str, Any]) -> None:
        """Raise UserError if the search that lies here has another header; but for "length" and "sources"."""
        if self.header is not None:
            _compare(self.path.parent, self.header, {"format": FORMAT, **header})
            _check_fields(self.path, self.header)

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the header of a new search."""
        begun = {"format": FORMAT, **header}
        self._write(begun)
        self.header = begun
        for folder in {self.path.parent, *(made.parent for made in self._made)}:  # each has a new name in it
            _sync_folder(folder)

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
        put(self._file, self.path, sealed(record))


def read(folder: Path) -> tuple[dict[str, Any], list[Trial]]:
    """The header and the trials of a search, in the order in which they finished; nothing is changed or locked.

    Raises UserError if there is no ledger, or if it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise UserError(f"{folder}: found no {FILE}, expected the folder of a search; name one that `nas search` wrote")
    header, trials, *_ = _parse(path)
    if header is None:
        raise UserError(
            f"{path}: found no header line, expected a search that has begun; restore the ledger from a copy, or "
            "search in another folder"
        )
    _check_fields(path, header)
    return header, trials


def begun(folder: Path) -> tuple[dict[str, Any], list[Trial]]:
    """The same, and an empty header where no search has begun."""
    path = folder / FILE
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: found no regular file, expected a search's ledger or nothing; choose another --out")
    header, trials, *_ = _parse(path) if path.is_file() else _NOTHING
    if header is None:
        return {}, []
    _check_fields(path, header)
    return header, trials


def running(folder: Path) -> bool:
    """Whether a search writes to this folder's ledger now."""
    try:
        with (folder / FILE).open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def sealed(record: Mapping[str, Any]) -> bytes:
    """The record as one line of JSON with its checksum."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    whole = text.encode(errors="backslashreplace")  # which is how JSON writes what is no character, as of a file's name
    return whole[:-1] + b', "sum": "%08x"}\n' % zlib.crc32(whole)


def unsealed(line: bytes) -> dict[str, Any]:
    """The record of a line, without its checksum; raises ValueError if the two do not agree."""
    text, mark, checksum = line.rpartition(b', "sum": ')
    whole = text + b"}"
    if not mark or checksum != b'"%08x"}' % zlib.crc32(whole):
        raise ValueError("its checksum is missing or wrong")
    record: dict[str, Any] = json.loads(whole, parse_constant=_no_number)
    return record


def is_sealed(line: bytes) -> bool:
    """Whether it is a whole line with its checksum."""
    try:
        return bool(unsealed(line))
    except ValueError:
        return False


def put(file: io.FileIO, path: Path, line: bytes) -> None:
    """Add a line to an open ledger; raises UserError, and adds nothing, where it cannot be brought to the disk."""
    there = os.fstat(file.fileno())
    if not there.st_nlink:
        raise UserError(f"{path}: found it removed, expected it to stay while it is written; what it had is gone")
    try:
        while line:
            line = line[os.write(file.fileno(), line) :]
        os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):  # then the line is torn, and dropped when it is read
            file.truncate(there.st_size)
        raise UserError(
            f"{path}: found {error.strerror}, expected room for a line; make room, and the same command goes on"
        ) from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _lock(descriptor: int, folder: Path) -> None:
    try:
        for _ in range(LOOKS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.05)  # it may be `running` that looks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = bool(os.fstat(descriptor).st_nlink)  # else one that did not begin has just removed it
    except BlockingIOError:
        alone = False
    except OSError as error:
        raise UserError(
            f"{folder}: found no locks here ({error.strerror}), expected a file system that has them, so that no two "
            "searches write one ledger; choose another --out"
        ) from None
    if not alone:
        raise UserError(
            f"{folder}: found another search writing here, expected none; wait for it to end, or choose another --out"
        )


_VERSION = "it was written by another version of this toolkit: use that one, or choose another --out"


class _Found(NamedTuple):
    """What is in a ledger's file."""

    header: dict[str, Any] | None
    trials: list[Trial]
    whole: int  # bytes up to the end of the last whole line
    ended: bool  # whether that line has its line break


_NOTHING = _Found(None, [], 0, ended=True)


def _parse(path: Path) -> _Found:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    lines, tail = content[:whole].splitlines(), content[whole:]
    last = _unended(path, len(lines) + 1, tail)
    if last:
        lines.append(last)
    if not lines:
        return _NOTHING
    header, *records = [_record(path, number, line) for number, line in enumerate(lines, 1)]
    _check_header(path, header)
    trials: dict[int, Trial] = {}
    for number, record in enumerate(records, 2):
        trial = _as_trial(path, number, record)
        if trial.trial in trials:
            raise UserError(
                f"{path}, line {number}: found trial {trial.trial} for the second time, expected each trial once; "
                "delete the line that should not be there"
            )
        trials[trial.trial] = trial
    return _Found(header, list(trials.values()), whole + len(last), ended=not last)


def _unended(path: Path, number: int, tail: bytes) -> bytes:
    """What the file ends with after its last line break: a whole line, or b"" for a torn one, which is dropped."""
    begun = tail.rstrip(b"\0")  # which a loss of power leaves of what was to be written
    for end in [seal.end() for seal in _SEAL.finditer(begun)]:
        if is_sealed(begun[:end]):
            if begun[end:]:
                raise UserError(
                    f"{path}, line {number}: found {begun[end : end + 1]!r} in place of the line break after a whole "
                    "line, expected the line to end there; put a line break in its place"
                )
            return begun
    start = b'{"trial": ' if number > 1 else b'{"format": '
    if not begun.startswith(start[: len(begun)]):
        raise _damaged(path, number, f"it begins with {_short(begun[:40])}")
    return b""


_SEAL = re.compile(rb', "sum": "[0-9a-f]{8}"\}')


def _record(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return unsealed(line)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, number, str(error)) from None


def _damaged(path: Path, number: int, found: str) -> UserError:
    return UserError(
        f"{path}, line {number}: found a damaged line ({found}), expected one JSON record with its checksum; "
        f"restore the line from a copy, or delete {_deleted(number)}"
    )


def _deleted(number: int) -> str:
    return "it: its trial alone is then trained again" if number > 1 else "the folder to search anew"


def _check_header(path: Path, header: Mapping[str, Any]) -> None:
    if "format" not in header and "trial" in header:
        raise UserError(
            f"{path}, line 1: found trial {header['trial']}, expected the header of the search; restore it from a copy"
        )
    if header.get("format") != FORMAT:
        raise UserError(f"{path}, line 1: found format {header.get('format')!r}, expected {FORMAT}; {_VERSION}")


MOST_TRIALS = 10_000_000
_OF_HEADER: dict[str, tuple[type, ...]] = {
    "space": (str,), "choices": (dict,), "controller": (str,), "parameters": (dict,), "data": (str,),
    "training": (int,), "validation": (int,), "fingerprint": (str,), "recipe": (dict,), "reward": (str,),
    "seed": (int,), "threads": (int,), "child_timeout": (int, float, NoneType), "window": (int,), "length": (int,),
}  # fmt: skip


def are_texts(value: object) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _are_limits(value: object) -> bool:
    """START, STEP and EVERY of each choice, as in "depth=6+2/1600"."""
    return isinstance(value, dict) and all(
        isinstance(limit, list)
        and [type(one) in _NUMBER for one in limit] == [True] * 3
        and all(abs(one) < 2**63 for one in limit)
        and limit[2] >= 1
        for limit in value.values()
    )


def is_loading(value: object) -> bool:
    """Whether it is what `nas.data.load` can be given beside a name."""
    return (
        isinstance(value, dict)
        and value.keys() == {"images", "largest", "image_size", "skip_corrupt"}
        and type(value["skip_corrupt"]) is bool
        and all(
            count is None or (type(count) is int and 0 < count < 2**63)
            for count in (value["images"], value["largest"], value["image_size"])
        )
    )


def _is_bound(value: object) -> bool:
    return value is None or (type(value) in _NUMBER and 0 < value < 2**63)  # type: ignore[operator]


_HOLDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("max_params", "max_madds", "max_latency_ms"), _is_bound),
    "choices": lambda value: all(map(are_texts, value.values())),
    "limits": lambda value: value is None or _are_limits(value),
    "sources": lambda value: value is None or (isinstance(value, dict) and are_texts([*value.values()])),
    "loaded": lambda value: value is None or is_loading(value),
    "stop": lambda value: value is None or isinstance(value, str),
    "latency": lambda value: value is None or (type(value) is int and 0 < value < 2**63),
    "recipe": lambda value: type(value.get("epochs")) is int and 1 <= value["epochs"] <= 10**6,
}


def _check_fields(path: Path, header: Mapping[str, Any]) -> None:
    """Raise UserError for a header that lacks what every search has, or has it of another kind."""
    counts = {name: header.get(name) for name in ("training", "validation", "window", "length")}
    wrong = [name for name, kinds in _OF_HEADER.items() if type(header.get(name, ...)) not in kinds]
    wrong += [name for name, count in counts.items() if name not in wrong and not 1 <= count < 2**63]  # type: ignore[operator]
    wrong += [name for name, holds in _HOLDS.items() if name not in wrong and not holds(header.get(name))]
    if wrong:
        raise UserError(
            f"{path}, line 1: found {wrong[0]} {_short(header.get(wrong[0]))}, expected what a search writes there; "
            "restore the line from a copy, or choose another --out"
        )


_IF_ANY = ("bar", "latency_ms", "batch_latency_ms", "peak_memory")  # left out of a line where there is nothing
_RESULT = [field.name for field in fields(Result) if field.name not in ("error", "confusion")]


def _as_line(trial: Trial) -> dict[str, Any]:
    """Flat, in the order of the format; the confusion counts serve rewards and are not kept."""
    line = asdict(trial)
    result = line.pop("result")
    if line["figures"] is None:
        del line["figures"]
    return line | ({} if result is None else {n: result[n] for n in _RESULT if n not in _IF_ANY or result[n]})


_NUMBER = (int, float)
_OF_ONE: dict[str, tuple[type, ...]] = {
    "trial": (int,), "key": (str,), "network": (str,), "reward": (*_NUMBER, NoneType), "error": (str, NoneType),
    "same_as": (int, NoneType), "at": _NUMBER, "figures": (dict, NoneType), "params": (int, NoneType),
    "madds": (int, NoneType), "seconds": _NUMBER, "memory": (int, NoneType), "precision": (str, NoneType),
    "peak_memory": (int,),
}  # fmt: skip
_OF_MANY: dict[str, tuple[type, ...]] = {
    "answers": (int,), "accuracy": _NUMBER, "loss": _NUMBER, "bar": _NUMBER, "latency_ms": _NUMBER,
    "batch_latency_ms": _NUMBER,
}  # fmt: skip


def _as_trial(path: Path, number: int, record: dict[str, Any]) -> Trial:
    if "format" in record:
        raise UserError(
            f"{path}, line {number}: found the header of a search, expected a trial; of two ledgers in one file keep "
            "one: delete the lines of the other"
        )
    try:
        for name, value in record.items():
            _check_kind(name, value)
        curves = {name: record.pop(name) for name in _RESULT if name in record}
        error = record["error"]
        result = None
        if curves:
            several = ["accuracy", "loss", *(name for name in _IF_ANY if name in curves and name in _OF_MANY)]
            result = Result(**curves | {name: tuple(curves[name]) for name in several}, error=error)
        trial = Trial(**{**record, "answers": tuple(record["answers"]), "result": result})
        _check_trial(trial)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path}, line {number}: found no sound trial ({error}), expected the fields of format {FORMAT}; restore "
            f"the line from a copy, or delete {_deleted(number)}"
        ) from None
    return trial


def _check_trial(trial: Trial) -> None:
    """Raise TypeError for what no search writes, though each field is of its kind."""
    if not 0 <= trial.trial < MOST_TRIALS:
        raise TypeError(f"trial is {trial.trial}")
    if trial.scored and not (trial.result and trial.result.accuracy):
        raise TypeError("it has a reward without an accuracy")
    if trial.result and not all(0 <= share <= 1 for share in trial.result.accuracy):
        raise TypeError(f"accuracy is {_short(trial.result.accuracy)}")
    for spread in (trial.result.latency_ms, trial.result.batch_latency_ms) if trial.result else ():
        if spread and not (len(spread) == 3 and 0 <= spread[1] <= spread[0] <= spread[2]):
            raise TypeError(f"a latency is {_short(spread)}")
    figures = trial.figures or {}
    if len(figures) > 20 or not all(len(name) <= 20 and type(value) in _NUMBER for name, value in figures.items()):
        raise TypeError(f"figures are {_short(trial.figures)}")
    costs = (trial.result.params, trial.result.madds, trial.result.seconds, trial.result.memory) if trial.result else ()
    if any(cost is not None and cost < 0 for cost in costs):
        raise TypeError(f"a cost is {min(cost for cost in costs if cost is not None)}")


def _check_kind(name: str, value: object) -> None:
    """Raise TypeError for a value that the field of this name cannot have; JSON's true is no number."""
    for one in value if type(value) is list else [value]:
        if type(one) is float and not math.isfinite(one):  # 1e999 is
            raise TypeError(f"{name} is {one}")
        if type(one) is int and abs(one) >= 2**63:
            raise TypeError(f"{name} is {_short(one)}")
    kinds = _OF_MANY.get(name)
    if kinds and type(value) is list and all(type(one) in kinds for one in value):
        return
    if kinds or type(value) not in _OF_ONE.get(name, (type(value),)):
        raise TypeError(f"{name} is {_short(value)}")


def _compare(folder: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise UserError by the first field that differs, and by the first part of it."""
    for name, here in expected.items():
        if name in ("length", "sources"):
            continue
        there = found.get(name)
        if name == "choices" and there and (changes := ", ".join(_changes(there, here))):
            raise UserError(
                f"{folder}: found a search of a space with other choices ({changes} since), expected the same; "
                "restore the space, or choose another --out"
            )
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            for part in {**here, **there}:
                known = name == "limits" or (part in there and part in here)  # of others, all parts are in both
                mend = _SAME if known else f"the code of {name} has changed since: restore it"
                _compare_field(folder, f"{name} {part}", there.get(part), here.get(part), mend)
        else:
            _compare_field(folder, name, there, here, _IMAGES if name in _OF_IMAGES else _SAME)


_SAME = "give the same options to go on with it"
_IMAGES = "give the same --data and --images, or restore the images if they have changed since"
_OF_IMAGES = ("training", "validation", "fingerprint")


def _compare_field(folder: Path, name: str, there: object, here: object, mend: str) -> None:
    if there != here:
        raise UserError(
            f"{folder}: found a search with {name} {_short(there)}, expected {_short(here)} as in this command; "
            f"{mend}, or choose another --out"
        )


def _changes(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> Iterator[str]:
    """What happened to a space's choices, {name: options as written}, each as a sentence's part."""
    gone, new = ([name for name in one if name not in other] for one, other in ((before, now), (now, before)))
    for name in gone:
        renamed = next((other for other in new if now[other] == before[name]), None)
        if renamed:
            new.remove(renamed)
        yield f"{name} renamed to {renamed}" if renamed else f"{name} removed"
    yield from (f"{name} added" for name in new)
    both = [name for name in before if name in now]
    if both != [name for name in now if name in before]:
        yield "the choices reordered"
    for name in both:
        yield from _changed_options(name, before[name], now[name])


def _changed_options(name: str, before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    yield from (f"option {option} of {name} removed" for option in before if option not in now)
    yield from (f"option {option} of {name} added" for option in now if option not in before)
    if [option for option in before if option in now] != [option for option in now if option in before]:
        yield f"the options of {name} reordered, from {', '.join(before)} to {', '.join(now)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]} …"


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # of a file system that syncs no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
