"""Searches under a bound on multiply-adds that nine of ten random networks are above: `python -m benchmarks.bounded`.

    python -m benchmarks.bounded --seeds 14 --out runs/bounded.md

A refused network costs no training, but a trial. What it costs is known before, so controllers draw again while what
they drew is beyond the bound (`nas.space.Space.first_within`). Grounds: the cells of NAS-Bench-201 with their real
costs and the table's rewards (`benchmarks/tables.py`), and `chain` with rewards that are made up of the answers
(`benchmarks/loop.py`), where long networks, which cost more, are the better ones. Each search is `nas.search.Loop` with
a window of 8, and ends after so many networks or trials, whichever comes first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from benchmarks.compare import Contender, InMemory, Lookup
from benchmarks.loop import IMAGES, WINDOW, MadeUp
from benchmarks.processes import command, run, side_by_side, watched
from benchmarks.tables import load
from nas import names
from nas.machine import cores
from nas.network import Network
from nas.pool import Job, Serial
from nas.report import checklist, grid, pairs, write_text
from nas.reward import Bounds, Result, accuracy
from nas.search import Loop
from nas.space import Space
from nas.statistics import Floats, bootstrap

GROUNDS = ("nasbench201", "chain")
CONTROLLERS = ("random", "evolution", "local", "q-learning", "reinforce", "posterior-sampling")
SAMPLED = 1_000  # random networks, to find the bound


class Row(NamedTuple):
    """One controller on one ground: (seeds,) each."""

    ground: str
    controller: str
    refused: Floats  # share of the trials
    after_trials: Floats  # highest reward
    after_networks: Floats  # the same
    short: int  # searches that trained fewer networks


@lru_cache(maxsize=len(GROUNDS))
def ground(name: str, share: float) -> tuple[Space, Callable[[Job], Result]]:
    """The space under the bound that this share of random networks is within, and what its children give."""
    space = names.space(name).on(IMAGES)
    rng = random.Random(0)
    most = int(np.quantile([_madds(space, rng) for _ in range(SAMPLED)], share))
    bounded = space.on(IMAGES, bounds=Bounds(max_madds=most))
    return bounded, Lookup(load(name)) if name == "nasbench201" else MadeUp()


def _madds(space: Space, rng: random.Random) -> int:
    network = space.sample(rng).network
    costs = network.costs(space.images) if isinstance(network, Network) else None
    assert costs
    return costs.madds


def searched(name: str, controller: str, seed: int, share: float, networks: int, trials: int) -> tuple[Any, ...]:
    """The search's name, the share refused, and the highest rewards after so many trials and networks."""
    space, children = ground(name, share)
    kind, parameters = Contender(controller).made()
    loop = Loop(
        space, kind(space, seed, networks, **parameters), Serial(children), InMemory(), accuracy,
        seed=seed, window=WINDOW, trials=3 * trials, unique=networks, patience=3 * trials,
    )  # fmt: skip
    done = sorted(loop.run(), key=lambda trial: trial.trial)
    rewards = [trial.reward for trial in done if trial.scored and trial.reward is not None]
    early = [trial.reward for trial in done[:trials] if trial.reward is not None]
    refused = sum(trial.refused for trial in done) / len(done)
    return (name, controller, seed), refused, max(early, default=np.nan), max(rewards, default=np.nan), len(rewards)


def measured(
    grounds: Sequence[str], controllers: Sequence[str], seeds: range, share: float, networks: int, trials: int,
    workers: int,
) -> list[Row]:  # fmt: skip
    """Every controller on every ground."""
    tasks = [(name, one, seed, share, networks, trials) for name in grounds for one in controllers for seed in seeds]
    found = {key: rest for key, *rest in watched(side_by_side(searched, tasks, workers), len(tasks), "all is lost")}
    rows = []
    for name in grounds:
        for one in controllers:
            refused, early, late, count = np.array([found[name, one, seed] for seed in seeds], float).T
            rows.append(Row(name, one, refused, early, late, int((count < networks).sum())))
    return rows


def table(rows: Sequence[Row], networks: int, trials: int) -> str:
    """The table, each controller's rewards held against random search's, seed by seed."""
    heads = ["space", "controller", "refused", f"after {trials} trials", "against random"]
    heads += [f"after {networks} networks", "against random", "fewer networks"]
    lines = []
    for row in rows:
        rival = next((other for other in rows if (other.ground, other.controller) == (row.ground, "random")), row)
        cells = [f"{100 * row.refused.mean():.0f} %"]
        for found, first in ((row.after_trials, rival.after_trials), (row.after_networks, rival.after_networks)):
            cells += [f"{100 * found.mean():.2f}", "" if row is rival else _difference(100 * (found - first))]
        lines.append([row.ground, row.controller, *cells, str(row.short)])
    return grid(heads, lines, words=2)


def _difference(each: Floats) -> str:
    low, high = bootstrap(each) or (np.nan, np.nan)
    return f"{each.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def conditions(seeds: range, share: float, trials: int, facts: Mapping[str, Any]) -> str:
    """What the figures are, and what a repetition needs to know; facts: as `nas.report.checklist` gives them."""
    hardware = facts["hardware"]
    return (
        f"Means over {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}, of the highest reward, in percent; differences to "
        f"random search, seed by seed, with a bootstrap 95 % interval. {100 * share:g} % of random networks are within "
        f"the bound. A search ends after {3 * trials} trials at the latest; fewer networks: how many searches had not "
        "trained so many by then. Refused: the share of all trials.\n\n"
        f"Window {WINDOW}, schedules over the networks; in {facts['wall_seconds']:,.0f} s on {hardware['cpu']}, "
        f"{hardware['cores']} cores; {pairs(facts['code'])}, {pairs(facts['versions'])}.\n\n`{facts['command']}`"
    )


# --- the command line ---

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    seeds: Annotated[int, typer.Option(min=2, help="Searches of each controller on each ground.")] = 14,
    first_seed: Annotated[int, typer.Option(min=0, help="The seeds are this one and those after it.")] = 0,
    networks: Annotated[int, typer.Option(min=1, help="Trained in each search.")] = 50,
    trials: Annotated[
        int, typer.Option(min=1, help="After which a search is looked at; it has three times these.")
    ] = 200,
    share: Annotated[
        float, typer.Option(min=0.001, max=1.0, help="Of random networks that the bound lets pass.")
    ] = 0.1,
    grounds: Annotated[list[str] | None, typer.Option("--space", "-s", help="May be repeated.")] = None,
    controllers: Annotated[list[str] | None, typer.Option("--controller", "-c", help="May be repeated.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Searches at once; all cores unless given.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for the table, as Markdown.")] = None,
) -> None:
    """Search under a bound that refuses most networks, with random search beside."""
    begun = time.monotonic()
    numbers = range(first_seed, first_seed + seeds)
    rows = measured(
        grounds or GROUNDS, controllers or CONTROLLERS, numbers, share, networks, trials, workers or cores()
    )
    text = table(rows, networks, trials)
    console.print(text, markup=False)
    if out:
        facts = checklist(command("bounded"), time.monotonic() - begun)
        write_text(out, f"{text}\n\n{conditions(numbers, share, trials, facts)}\n")


if __name__ == "__main__":
    run(app, "bounded")
