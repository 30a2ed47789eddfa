"""A ledger as a pandas DataFrame, or as a csv file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas import ledger, names, recorded
from nas.errors import UserError
from nas.health import in_order
from nas.ledger import FILE, Trial
from nas.reward import Result
from nas.search import replayed
from nas.space import Candidate, Choice, Question, Space
from nas.whole import whole_file

if TYPE_CHECKING:
    import pandas as pd

CURVES = ("accuracy", "loss")
FIGURES = (
    "params", "madds", "seconds", "memory", "precision", "latency_ms", "batch_latency_ms", "peak_memory",
)  # fmt: skip
LEDGER = ("trial", "key", "reward", "error", "same_as", "at", "network", "stopped")
ANSWER = re.compile(r".* \d+")  # the name of an answer's column
HEALTH = "health/"  # before a figure of the controller's that is named as another column, as in TensorBoard


class Search(NamedTuple):
    """What lies in a search's folder, with the candidates built again: the trials in the order of their numbers."""

    header: Mapping[str, Any]
    candidates: list[tuple[Trial, Candidate]]

    @property
    def trained(self) -> list[Trial]:
        """Of each trial the one that trained its network: itself, unless it is a repeat."""
        first = {trial.trial: trial for trial, _ in self.candidates}
        return [trial if trial.same_as is None else first.get(trial.same_as, trial) for trial, _ in self.candidates]


def search(folder: Path | str, space: Space | str | None = None) -> Search:
    """The search in this folder, running or finished.

    space: as it was searched, where it is no built-in one, or as it is typed, "mine.py:Small"; on its images already,
    or its data are opened.
    Raises UserError if there is no search, or if its space is not to be had or is another now.
    """
    folder = Path(folder)
    header, trials = ledger.read(folder)
    given = names.space(space) if isinstance(space, str) else space
    there = recorded.space(header, trials) if given is None else _on_its_images(header, given)
    if there is None:
        raise recorded.unknown(header, folder)
    if given is not None:
        there = recorded.held(there, header, trials, folder)
    return Search(header, [(trial, replayed(there, trial, folder / FILE)) for trial in in_order(trials)])


def _on_its_images(header: Mapping[str, Any], space: Space) -> Space:
    if "images" in vars(space):
        return space
    from nas.data import native

    try:
        images = native(header["data"])
    except UserError as error:
        raise UserError(
            f"{error}; what a search asked depends on the size, channels and classes of its images: without them give "
            "the space on these in Python, as in frame(folder, Small().on(Images(8, 1, 10)))"
        ) from None
    return space.on(images)


def named(candidate: Candidate) -> Iterator[tuple[str, Choice[Any], int]]:
    """Each question's name, its choice and the answer, those with one legal option too."""
    for question, answer in zip(candidate.questions, candidate.answers, strict=True):
        yield name_of(question), question.choice, answer


def name_of(question: Question) -> str:
    """ "width 3", the choice and which of its questions it is, as in reports; "link 4 1", layer 4 to layer 1."""
    if question.link is not None:
        return f"{question.choice.name} {question.anchors} {question.link + 1}"
    return f"{question.choice.name} {question.occurrence + 1}"


def option(choice: Choice[Any], answer: int) -> bool | int | float | str:
    """An option as other tools keep it: itself where it is a number or a text, else as written."""
    value = choice.options[answer]
    return value if isinstance(value, bool | int | float | str) else choice.written[answer]


def costs(result: Result | None) -> dict[str, Any]:
    """FIGURES, by their names in `nas.reward.Result`; of latencies the median; None for what was not measured."""
    found = {name: getattr(result, name, None) for name in FIGURES}
    return {name: (value[0] if value else None) if isinstance(value, tuple) else value for name, value in found.items()}


def figures(trial: Trial) -> dict[str, float]:
    """What the controller said of itself, by name: "entropy", and "health/reward" where "reward" is the ledger's."""
    return {_apart(name): value for name, value in (trial.figures or {}).items()}


def _apart(name: str) -> str:
    taken = name in (*LEDGER, *FIGURES, *CURVES) or ANSWER.fullmatch(name)
    return HEALTH + name if taken else name


def rows(found: Search) -> Iterator[dict[str, Any]]:
    """A trial each: number, network, reward, error, same_as; costs; figures; curves as lists; answers as options.

    A repeat has the costs and curves of the trial that it is the same as, and took no seconds.
    """
    for (trial, candidate), known in zip(found.candidates, found.trained, strict=True):
        row = {name: getattr(trial, name) for name in LEDGER}
        row |= costs(known.result) | {name: list(getattr(known.result, name, ())) for name in CURVES}
        row |= {"stopped": known.stopped} | ({} if trial.same_as is None else {"seconds": 0.0}) | figures(trial)
        yield row | {name: option(choice, answer) for name, choice, answer in named(candidate)}


def frame(folder: Path | str, space: Space | str | None = None) -> pd.DataFrame:
    """A ledger as a table: a trial a row, by number; answers are columns such as "width 3", missing where not asked.

    Curves are lists, one value an epoch. A repeat, whose "same_as" is the trial that trained its network, has the costs
    and curves of that, and took 0 seconds. A figure that the controller said of itself is a column of its name,
    "entropy", or "health/reward" where that is another column's. Raises UserError as `search` does, and where pandas is
    not installed.
    """
    return framed(search(folder, space))


def framed(found: Search) -> pd.DataFrame:
    """The same of a search that was read."""
    try:
        import pandas as pd
    except ImportError:
        raise UserError("found no pandas, expected it for tables; install it with `pip install pandas`") from None
    table = pd.DataFrame(list(rows(found)))
    counts = [name for name in ("trial", "same_as", "params", "madds", "memory", "peak_memory") if name in table]
    return table.astype(dict.fromkeys([*counts, *_whole(found)], "Int64"))


def _whole(found: Search) -> list[str]:
    """Of the columns of answers those that have whole numbers alone, which are no floats where one is missing."""
    answers: dict[str, list[Any]] = {}
    for _, candidate in found.candidates:
        for name, choice, answer in named(candidate):
            answers.setdefault(name, []).append(option(choice, answer))
    exact = 2**53  # as a float, which pandas has made of it where one is missing
    return [name for name, of in answers.items() if all(type(one) is int and -exact <= one <= exact for one in of)]


def export(folder: Path, file: Path, space: Space | None = None) -> int:
    """Write a ledger as csv, curves as JSON lists; gives the number of trials."""
    table = frame(folder, space)
    with whole_file(file, "a file to write; name another") as unfinished:
        table.to_csv(unfinished, index=False)
    return len(table)
