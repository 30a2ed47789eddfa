"""Tables of known results: a search on one takes seconds, and its network's test accuracy is known afterwards.

- `nasbench201`: 15,625 cells. Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
  Search", ICLR 2020. Columns `arch`, and with a data set's prefix (c10 unless another is given) `c10_val_12ep`, which
  the search sees, and `c10_test_200ep`, which it never does; seconds are 12 × `est_train_s_per_epoch` + `est_valid_s`.
- `nasbench-macro`: 6,561 chains of eight layers. Su et al., "Prioritized Architecture Sampling with Monto-Carlo Tree
  Search", CVPR 2021. The search sees `test_acc_seed0`; the result is the mean of `test_acc_seed1` and `test_acc_seed2`.
- `csv:PATH`: two columns, architectures and their scores, higher is better. An architecture is cut at the first of
  | - , ; / : space _ that cuts all of them into equally many parts, else into its characters; each part is a position
  with the options that are found there, in the order of the numbers where all are numbers. The score is the result, and
  the reward too; but scores of 0 to 100 with one above 1 are taken as percent, and the search sees a hundredth of them.
- `nk:POSITIONS,OPTIONS,TIES,SEED`: a random landscape, made as it is asked for. Kauffman & Levin, "Towards a General
  Theory of Adaptive Walks on Rugged Landscapes", 1987: a position is worth a uniform number of 0 to 1 that depends on
  its option and on those of TIES other positions, and an architecture the mean of its positions: this is the reward,
  and in percent the result. With no ties there is one peak; the more ties, the less a part says of the whole. No table
  of trained networks is needed to try defaults on many of them.

A table has one row for each combination of its positions' options. Networks alike under two names are two rows.
For `nasbench201`, the file may also be the benchmark's own, read by its own package, which unpickles it: a folder or
.pickle.pbz2 of NATS-Bench (`pip install nats_bench`), a .pth of NAS-Bench-201 (`pip install nas-bench-201`). That was
tried with nats_bench 1.8 and nas-bench-201 2.1 on made-up archives in their formats, never on the real ones.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import importlib
import io
import itertools
import math
import os
import random
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from nas.errors import UserError, near
from nas.network import Images
from nas.report import counted
from nas.space import Candidate, Choice, Pick, Space, shorten
from search_spaces.nasbench201 import EDGES, NasBench201

FOLDER = "NAS_TABLES"  # the environment variable that says where the two files lie
FILES = {"nasbench201": "nasbench201_cifar10.csv.gz", "nasbench-macro": "nasbench_macro_cifar10.csv.gz"}
CELL = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"  # how NAS-Bench-201 writes one
SEPARATORS = "|-,;/: _"
LAYER = Choice("0", "1", "2", name="layer")  # identity, 3 × 3 with expansion 3, 5 × 5 with expansion 6
LARGEST = 200_000  # architectures of a landscape
LARGEST_FILE = 2**28  # bytes, unpacked; nasbench201's has 2 MB, and a small gzip file may claim to have any number
PACKAGED = {"c10": "cifar10", "c100": "cifar100", "in16": "ImageNet16-120"}  # what the benchmark's packages call them


class Row(NamedTuple):
    """What is known of one architecture."""

    arch: str  # as the file has it; of a landscape, its options with "-" between
    reward: float  # what the search sees: a fraction, where the result is percent
    result: float  # what it is judged by: in the file's unit, of a landscape in percent
    seconds: float | None  # simulated, to train and validate it


class Known(NamedTuple):
    """A network that only a table knows: no more than its name."""

    key: str
    input_size: int = 32

    @property
    def written(self) -> str:
        """The network as written."""
        return self.key

    def module(self, images: Images) -> Any:
        """Raise UserError: there is nothing to train."""
        raise UserError(f"{self.key}: found a network of a table, expected one to train; search its space with `nas`")


class Positions(Space):
    """A space whose questions are always the same: one a position of an architecture's name.

    written: at each position, how each option is written in the file, where that is not the option itself.
    """

    def __init__(self, positions: Sequence[Choice[Any]], written: Sequence[Mapping[Any, str]] = ()) -> None:
        self.positions = tuple(positions)
        self.written = tuple(written) or ({},) * len(self.positions)

    def texts(self, answers: Sequence[int]) -> list[str]:
        """How these answers are written in the file, position by position."""
        options = [choice.options[answer] for choice, answer in zip(self.positions, answers, strict=True)]
        return [written.get(option, option) for option, written in zip(options, self.written, strict=True)]

    def build(self, pick: Pick) -> Known:
        """Ask for each position; a tabular agent knows which it is and the answer before, as MetaQNN's does."""
        parts: list[str] = []
        for place, (choice, written) in enumerate(zip(self.positions, self.written, strict=True)):
            option = pick(choice, state=(place, *parts[-1:]))
            parts.append(written.get(option, option))
        return Known("-".join(parts))


@dataclass(frozen=True)
class Table:
    """A space and what is known of each of its candidates, by its answers."""

    name: str
    path: Path | None  # None where it is made from its name
    sha256: str  # of the file; empty where there is none, or a folder
    space: Positions
    rows: Mapping[tuple[int, ...], Row]
    reward: str  # in words, what the search sees
    result: str  # in words, what it is judged by
    seconds: str  # in words, what the simulated seconds are; empty where there are none
    percent: bool  # whether results are percent, and rewards fractions

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        if self.path is None:
            return "made from its name"
        return f"{self.path.name}, {f'SHA-256 {self.sha256}' if self.sha256 else 'a folder, no SHA-256 taken'}"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, candidate: Candidate) -> Row:
        return self.rows[candidate.answers]

    @cached_property
    def optimum(self) -> float:
        """The highest result in the table."""
        return max(row.result for row in self.rows.values())

    @cached_property
    def highest_reward(self) -> float:
        """The highest reward in the table, as a search sees it."""
        return max(row.reward for row in self.rows.values())

    @cached_property
    def best_reward_result(self) -> float:
        """The result of the row with the highest reward, the lowest of several: what rewards can lead to."""
        return max(self.rows.values(), key=lambda row: (row.reward, -row.result)).result

    @cached_property
    def mean_seconds(self) -> float:
        """The mean simulated seconds of a row. Raises UserError if the table has none."""
        self.need_seconds()
        return sum(row.seconds or 0.0 for row in self.rows.values()) / len(self.rows)

    def need_seconds(self) -> None:
        """Raise UserError if the table has no seconds."""
        if not self.seconds:
            file = f" ({self.path.name})" if self.path else ""
            raise UserError(
                f"--simulated-seconds: found no times in {self.name}{file}, expected seconds for each architecture; "
                "give a --budget in evaluations instead"
            )


def load(typed: str, file: Path | None = None, dataset: str | None = None) -> Table:
    """The table that is typed: nasbench201, nasbench-macro, csv:PATH or nk:..., from another file if one is given.

    dataset: the prefix of nasbench201's columns, c10 unless given.
    Raises UserError for whatever is wrong with the name or the file.
    """
    kind, _, path = typed.partition(":")
    if dataset is not None and kind != "nasbench201":
        raise UserError(f"--dataset: found {dataset!r} with {typed}, expected it with nasbench201 only; leave it out")
    if kind == "csv" and path and file is None:
        return _plain(Path(path))
    if kind == "nk" and file is None:
        return _landscape(typed, path)
    if typed not in FILES:
        raise UserError(
            f"table: found {typed!r}{' with --file' if file else near(typed, FILES)}, expected nasbench201, "
            "nasbench-macro, csv:PATH or nk:POSITIONS,OPTIONS,TIES,SEED; --file goes with the first two"
        )
    where = file or default_folder() / FILES[typed]
    if file is None and not where.is_file():
        raise UserError(
            f"{typed}: found no {where.name} in {where.parent}, expected the table there; name yours with --file, or "
            f"the folder of both tables with the environment variable {FOLDER}"
        )
    return _macro(where) if typed == "nasbench-macro" else _nasbench201(where, dataset or "c10")


def default_folder() -> Path:
    """Where the tables are looked for: NAS_TABLES, or shared/data beside the repository."""
    given = os.environ.get(FOLDER)
    return Path(given) if given else Path(__file__).resolve().parents[1].parent / "shared" / "data"


# --- a landscape ---


def _landscape(typed: str, numbers: str) -> Table:
    """Kauffman's landscape of so many positions, options, ties and this seed, as numbers with commas between."""
    found = re.fullmatch(r"(\d{1,15}),(\d{1,15}),(\d{1,15}),(\d{1,15})", numbers)
    positions, options, ties, seed = map(int, found.groups()) if found else (0, 0, 0, 0)
    # Logarithms, for the number of architectures itself may have more digits than there is memory.
    if min(positions, options) < 2 or ties >= positions or positions * math.log(options) > math.log(LARGEST):
        raise UserError(
            f"table: found {shorten(typed)!r}, expected nk:POSITIONS,OPTIONS,TIES,SEED with at least 2 positions and "
            f"options, fewer ties than positions, at most {LARGEST:,} architectures and no number of more than 15 "
            "digits; type it as in nk:8,3,2,0"
        )
    rng = random.Random(seed)
    others = [rng.sample([other for other in range(positions) if other != place], ties) for place in range(positions)]
    worth = [
        {part: rng.random() for part in itertools.product(range(options), repeat=ties + 1)} for _ in range(positions)
    ]
    rows = {}
    for answers in itertools.product(range(options), repeat=positions):
        parts = (
            worth[place][(answers[place], *(answers[other] for other in others[place]))] for place in range(positions)
        )
        score = math.fsum(parts) / positions
        rows[answers] = Row("-".join(map(str, answers)), score, 100 * score, None)
    space = Positions((Choice(*map(str, range(options)), name="position"),) * positions)
    return Table(typed, None, "", space, rows, "the mean of the positions' worth", "100 × the reward", "", percent=True)


# --- the three kinds of file ---


def _nasbench201(path: Path, dataset: str) -> Table:
    if path.is_dir() or path.suffix in (".pth", ".pbz2"):
        return packaged(_open_package(path), path, dataset)
    lines, digest = _lines(path)
    val, test, train_s, valid_s = (
        f"{dataset}_val_12ep", f"{dataset}_test_200ep", "est_train_s_per_epoch", "est_valid_s",
    )  # fmt: skip
    others = sorted({name.removesuffix("_val_12ep") for name in lines.names if name.endswith("_val_12ep")} - {dataset})
    lines.need(["arch", val, test], f"; choose --dataset {' or '.join(others)}" if others else "")
    timed = {train_s, valid_s} <= set(lines.names)
    rows: dict[tuple[int, ...], Row] = {}
    for line in lines:
        seconds = 12 * line.positive(train_s) + line.positive(valid_s) if timed else None
        row = Row(line.text("arch"), line.percent(val) / 100, line.percent(test), seconds)
        line.add(rows, _cell(row.arch), row)
    said = "12 × est_train_s_per_epoch + est_valid_s: estimates, not measured" if timed else ""
    return _cells(path, digest, rows, dataset, (f"{val} / 100", test, said))


def _cells(
    path: Path, digest: str, rows: Mapping[tuple[int, ...], Row], dataset: str, words: tuple[str, str, str]
) -> Table:
    """The table of NAS-Bench-201's cells, if none is missing; words: what reward, result and seconds are."""
    space = Positions((NasBench201.operation,) * len(EDGES))
    _check_complete(path, space, rows, CELL.format)
    return Table(f"nasbench201 {dataset}", path, digest, space, rows, *words, percent=True)


_EDGE = "(" + "|".join(NasBench201.operation.options) + ")"
_CELL = re.compile(re.escape(CELL).replace(r"\{\}", _EDGE))


def _cell(arch: str) -> tuple[int, ...] | str:
    """The answers that lead to this architecture, or what was expected instead."""
    match = _CELL.fullmatch(arch)
    if match is None:
        return f"|op~0|+|op~0|op~1|+|op~0|op~1|op~2| with the operations {', '.join(NasBench201.operation.options)}"
    return tuple(NasBench201.operation.options.index(operation) for operation in match.groups())


def _macro(path: Path) -> Table:
    lines, digest = _lines(path)
    seeds = [f"test_acc_seed{seed}" for seed in range(3)]
    lines.need(["arch", *seeds])
    rows: dict[tuple[int, ...], Row] = {}
    for line in lines:
        first, second, third = (line.percent(name) for name in seeds)
        row = Row(line.text("arch"), first / 100, (second + third) / 2, None)
        line.add(rows, _chain(row.arch), row)
    space = Positions((LAYER,) * 8)
    _check_complete(path, space, rows, lambda *layers: "".join(layers))
    result = "mean of test_acc_seed1 and test_acc_seed2"
    return Table("nasbench-macro", path, digest, space, rows, "test_acc_seed0 / 100", result, "", percent=True)


def _chain(arch: str) -> tuple[int, ...] | str:
    if re.fullmatch("[012]{8}", arch):
        return tuple(map(int, arch))
    return "eight digits of 0, 1 and 2" + (", its leading zeros kept" if re.fullmatch("[012]{1,7}", arch) else "")


def _plain(path: Path) -> Table:
    lines, digest = _lines(path, headless=True)
    if len(lines.names) != 2:
        raise UserError(
            f"{path}: found {counted(len(lines.names), 'column')}, expected two, architectures and their scores; "
            f"{'leave the others out' if len(lines.names) > 2 else 'put a comma between them, no semicolon'}"
        )
    arch, score = lines.names
    entries = list(lines)
    parts = _cut(path, [line.text(arch) for line in entries])
    columns = [tuple(sorted(set(column), key=_order)) for column in zip(*parts, strict=True)]
    values = [line.number(score) for line in entries]
    percent = max(values) > 1 and min(values) >= 0 and max(values) <= 100
    rows: dict[tuple[int, ...], Row] = {}
    for line, cut, value in zip(entries, parts, values, strict=True):
        answers = tuple(have.index(part) for have, part in zip(columns, cut, strict=True))
        line.add(rows, answers, Row(line.text(arch), value / 100 if percent else value, value, None))
    space = _positions(columns)
    _check_complete(path, space, rows, partial(_replaced, entries[0].text(arch), parts[0]))
    reward = f"{score} / 100" if percent else score
    result = f"{score}, {'taken as percent: all are 0 to 100, and one is above 1' if percent else 'the reward itself'}"
    return Table(f"csv:{path.name}", path, digest, space, rows, reward, result, "", percent)


def _positions(columns: Sequence[tuple[str, ...]]) -> Positions:
    """The space of the texts found at each position; where they are the same, the choice is, named after the first."""
    choices: dict[tuple[str, ...], Choice[Any]] = {}
    for number, texts in enumerate(columns, 1):
        if texts not in choices:
            name = "position" if len(set(columns)) == 1 else f"position {number}"
            choices[texts] = Choice(*_options(texts), name=name)
    written = [dict(zip(choices[texts].options, texts, strict=True)) for texts in columns]
    return Positions([choices[texts] for texts in columns], written)


def _options(texts: Sequence[str]) -> Sequence[int] | Sequence[float] | Sequence[str]:
    """The same as numbers where all are, and no two the same number, so that a controller sees their order."""
    for kind in (int, float):
        with contextlib.suppress(ValueError, OverflowError):
            numbers = [kind(text) for text in texts]
            if len(set(numbers)) == len(texts) and all(map(math.isfinite, numbers)):
                return numbers
    return texts


def _order(text: str) -> tuple[float, str]:
    """Numbers by their size, after them all else by its letters."""
    number = float(text) if _is_number(text) else math.inf
    return (math.inf if math.isnan(number) else number), text


def _cut(path: Path, archs: Sequence[str]) -> list[list[str]]:
    """Each architecture as its parts, equally many of each."""
    for separator in SEPARATORS:
        parts = [[part for part in arch.split(separator) if part not in ("", "+")] for arch in archs]
        if len({len(cut) for cut in parts}) == 1 and len(parts[0]) > 1:
            return parts
    for arch in archs:
        if len(arch) != len(archs[0]):
            raise UserError(
                f"{path}: found the architectures {archs[0]!r} and {arch!r}, expected equally many positions in each; "
                f"put one of {' '.join(SEPARATORS.strip())} between them, as in conv-pool-conv"
            )
    return [list(arch) for arch in archs]


def _replaced(arch: str, parts: Sequence[str], *others: str) -> str:
    """An architecture of the file with other parts, what is between them kept."""
    found, rest = "", arch
    for part, other in zip(parts, others, strict=True):
        before, _, rest = rest.partition(part)
        found += before + other
    return found + rest


# --- the benchmark's own packages ---


def packaged(api: Any, path: Path, dataset: str) -> Table:
    """The table of NAS-Bench-201's own interface, of either package, with its measured seconds.

    Accuracies are means over the recorded seeds. As in the benchmark, the search sees the accuracy on validation images
    after 12 epochs, for c10 from the training split alone, and is judged by the test accuracy after 200.
    """
    if dataset not in PACKAGED:
        raise UserError(f"--dataset: found {dataset!r}, expected one of {', '.join(PACKAGED)}")
    name = PACKAGED[dataset]
    rows: dict[tuple[int, ...], Row] = {}
    for index in range(len(api)):
        arch = api.arch(index)
        seen = api.get_more_info(index, "cifar10-valid" if dataset == "c10" else name, hp="12", is_random=False)
        final = api.get_more_info(index, name, hp="200", is_random=False)
        seconds = seen["train-all-time"] + seen["valid-per-time"]
        answers = _cell(arch)
        if isinstance(answers, str):
            raise UserError(f"{path}: found the architecture {arch!r}, expected {answers}; choose the file's own table")
        rows[answers] = Row(arch, float(seen["valid-accuracy"]) / 100, float(final["test-accuracy"]), float(seconds))
    words = (
        "validation accuracy after 12 epochs / 100", "test accuracy after 200 epochs", "as the benchmark measured them",
    )  # fmt: skip
    return _cells(path, "" if path.is_dir() else _sha256(path.read_bytes()), rows, dataset, words)


def _open_package(path: Path) -> Any:
    """The package's interface to this file or folder."""
    package, pip = ("nas_201_api", "nas-bench-201") if path.suffix == ".pth" else ("nats_bench", "nats_bench")
    if not path.exists():
        raise UserError(f"{path}: found nothing there, expected a table; give the path of one")
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"{path}: found a file of the package {package}, expected that package ({error}); `pip install {pip}`, or "
            "give a csv file with the columns arch, c10_val_12ep and c10_test_200ep"
        ) from None
    try:
        if package == "nats_bench":
            return module.create(str(path), "tss", fast_mode=path.is_dir(), verbose=False)
        import torch

        return module.NASBench201API(torch.load(path, map_location="cpu", weights_only=False), verbose=False)
    except Exception as error:
        raise UserError(
            f"{path}: found that {package} cannot read it ({type(error).__name__}: {error}), expected its own format"
        ) from error


# --- reading ---


@dataclass(frozen=True)
class Line:
    """One line of a table's file, for messages that name it."""

    path: Path
    place: int  # from 1
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        """The value of a column; raises UserError if it is empty."""
        value = self.values[column].strip()
        if not value:
            raise self._wrong(column, "nothing", "a value")
        return value

    def number(self, column: str) -> float:
        """The value as a finite number."""
        text = self.text(column)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self._wrong(column, repr(text), "a number")
        return value

    def positive(self, column: str) -> float:
        """The value as a number above 0."""
        value = self.number(column)
        if value <= 0:
            raise self._wrong(column, f"{value:g}", "seconds, a number above 0")
        return value

    def percent(self, column: str) -> float:
        """The value as a number of 0 to 100."""
        value = self.number(column)
        if not 0 <= value <= 100:
            raise self._wrong(column, f"{value:g}", "percent, 0 to 100")
        return value

    def add(self, rows: dict[tuple[int, ...], Row], answers: tuple[int, ...] | str, row: Row) -> None:
        """Put the row of this line in; `answers` is a text where the architecture is none of this space."""
        if isinstance(answers, str):
            raise UserError(
                f"{self.path}, line {self.place}: found the architecture {row.arch!r}, expected {answers}; "
                "name the table that this file is of, or csv:PATH for one of another space"
            )
        if answers in rows:
            raise UserError(
                f"{self.path}, line {self.place}: found the architecture {row.arch!r} for the second time, expected "
                "each one once; keep one of its lines"
            )
        rows[answers] = row

    def _wrong(self, column: str, found: str, expected: str) -> UserError:
        return UserError(
            f"{self.path}, line {self.place}: found {found} in column {column}, expected {expected}; mend the line"
        )


@dataclass(frozen=True)
class Lines:
    """A table's file as columns and lines."""

    path: Path
    names: Sequence[str]
    first: int  # the number of the first line that is no header
    values: Sequence[Sequence[str]]

    def need(self, names: Sequence[str], mend: str = "") -> None:
        """Raise UserError if one of these columns is missing."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise UserError(
                f"{self.path}: found no column {missing[0]} among {shorten(', '.join(self.names), 120)}, expected "
                f"{', '.join(names)}{mend or '; name the table that this file is of, or add the column'}"
            )

    def __iter__(self) -> Iterator[Line]:
        for place, values in enumerate(self.values, self.first):
            if len(values) != len(self.names):
                raise UserError(
                    f"{self.path}, line {place}: found {counted(len(values), 'column')}, expected {len(self.names)}; "
                    "mend the line"
                )
            yield Line(self.path, place, dict(zip(self.names, values, strict=True)))


def _lines(path: Path, headless: bool = False) -> tuple[Lines, str]:
    """The lines of a csv file, gzipped or not, and its SHA-256; headless: its first line may be data already."""
    if path.exists() and not path.is_file():  # a pipe, or a device, may have no end
        raise UserError(f"{path}: found no regular file, expected a table as csv, gzipped or not; name such a file")
    try:
        content, digest = _content(path)
        text = content.decode("utf-8-sig")
        values = list(csv.reader(io.StringIO(text)))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        found = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: found {found}, expected a table as csv, gzipped or not; name such a file") from None
    while values and not values[-1]:
        values.pop()
    if headless and values and values[0] and _is_number(values[0][-1]):
        return Lines(path, ["architecture", "score", *map(str, range(3, len(values[0]) + 1))], 1, values), digest
    if len(values) < 2:
        raise UserError(
            f"{path}: found {counted(len(values), 'line')}, expected one with the columns' names and one a row"
        )
    return Lines(path, [name.strip() for name in values[0]], 2, values[1:]), digest


def _content(path: Path) -> tuple[bytes, str]:
    """What a file holds, unpacked if it is gzipped, and its SHA-256; raises UserError for what is too large."""
    content, digest = b"", ""
    if path.stat().st_size <= LARGEST_FILE:
        content = path.read_bytes()
        digest = _sha256(content)
        if not content.startswith(b"\x1f\x8b"):
            return content, digest
        with gzip.open(io.BytesIO(content)) as packed:
            content = packed.read(LARGEST_FILE + 1)
        if len(content) <= LARGEST_FILE:
            return content, digest
    raise UserError(
        f"{path}: found more than {LARGEST_FILE:,} bytes, expected at most so many in a table, unpacked; leave out "
        "columns that are not read"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_complete(
    path: Path, space: Positions, rows: Mapping[tuple[int, ...], Row], written: Callable[..., str]
) -> None:
    """Raise UserError unless each combination of options has its row; written: as the file has it, of its texts."""
    expected = math.prod(len(choice.options) for choice in space.positions)
    if len(rows) == expected:
        return
    combinations = itertools.product(*(choice.every for choice in space.positions))
    missing = next(answers for answers in combinations if answers not in rows)
    named = written(*space.texts(missing))
    raise UserError(
        f"{path}: found {counted(len(rows), 'architecture')}, expected all {expected:,} combinations of the options of "
        f"{counted(len(space.positions), 'position')}; {named} is missing, for example: add what is missing"
    )
