"""One search for all tests of what is made of ledgers, with a repeat, a failed child and a stopped one in it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from controllers.random_search import RandomSearch
from nas.blocks import Block
from nas.data import load
from nas.ledger import Ledger, Trial
from nas.network import Network
from nas.pool import Job, Serial
from nas.recipe import Recipe
from nas.reward import Result
from nas.search import search
from nas.space import Choice, Pick, Space

README = (Path(__file__).parents[3] / "README.md").read_text()


def snippet(word: str) -> str:
    """The Python of README for another tool that has this word in it."""
    found: list[str] = re.findall(r"^```py\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return next(block for block in found if word in block)


class Narrow(Space):
    """One to three blocks; nine networks in all where the widths are alike."""

    depth = Choice(1, 2, 3)
    width = Choice(4, 8, 32)
    kind = Choice("conv", "separable")

    def build(self, pick: Pick) -> Network:
        """Ask for the depth and for each block."""
        return Network(8, tuple(Block(pick(self.kind), pick(self.width)) for _ in range(pick(self.depth))))


def result_of(job: Job) -> Result:
    """Two epochs; trial 2 fails."""
    if job.trial == 2:
        return Result(error="exception: ValueError: <b>no</b>")
    return Result((0.3, 0.5 + job.trial / 100), (1.5, 1.0), seconds=0.5, precision="float32")


def begin(
    folder: Path, trials: int, data: str = "digits", controller: type[RandomSearch] = RandomSearch
) -> list[Trial]:
    """Search on, or anew, with results that are known beforehand; data: the digits, under this name."""
    return [
        *search(
            Narrow(),
            controller,
            replace(load("digits", images=100), name=data),
            folder,
            trials=trials,
            recipe=Recipe(epochs=2),
            pool=lambda _: Serial(result_of),
        )
    ]


class Boastful(RandomSearch):
    """Says of itself what the ledger says otherwise."""

    def figures(self, trial: int) -> dict[str, float]:
        """By the names of columns, of costs, of an answer and of the search's own health."""
        return {"trial": 0.5, "reward": 9.0, "madds": 8.0, "width 3": 7.0, "repeats": 6.0, "entropy": 0.25}


@pytest.fixture(scope="module")
def boasted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search by that controller."""
    place = tmp_path_factory.mktemp("searches") / "boasted"
    begin(place, 4, controller=Boastful)
    return place


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight trials, then a stopped child and a repeat of trial 1."""
    place = tmp_path_factory.mktemp("searches") / "narrow"
    trials = begin(place, 8)
    first = next(trial for trial in trials if trial.trial == 1)
    candidate = Narrow().replay((0, 1, 0))
    stopped = Result(
        (0.2,), (2.0,), params=100, madds=2000, seconds=0.2, bar=(0.9,),
        latency_ms=(1.5, 1.25, 2.0), batch_latency_ms=(64.0, 60.0, 70.0), peak_memory=4096,
    )  # fmt: skip
    with Ledger(place) as ledger:
        written = str(vars(candidate.network).get("written", candidate.key))
        ledger.append(Trial(9, first.answers, first.key, first.network, first.reward, None, same_as=1, at=9.0))
        ledger.append(
            Trial(8, candidate.answers, candidate.key, written, 0.25, stopped, at=9.5, figures={"entropy": 0.5})
        )
    return place
