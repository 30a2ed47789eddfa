"""How long the whole of a search would take here, without running it: `python -m benchmarks.hours --help`.

    python -m benchmarks.hours --data cifar10 --device cuda --out hours.md

MetaQNN's search for CIFAR-10 trains 2,700 different networks for 20 epochs on 45,000 images (Baker et al. 2017,
section 5), in a space whose networks differ in cost by a factor of thousands. So many are drawn from it; some of them,
evenly spread by multiply-adds, are trained for one epoch on a part of the images, as many at once as in a search; their
seconds an image are fitted against multiply-adds, and the fit is summed over all that were drawn.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from benchmarks.processes import command, run, watched
from nas import machine, names
from nas.data import Data, load
from nas.errors import UserError
from nas.gpu import MOST
from nas.network import Network
from nas.pool import Job, Pool, RayPool, Training
from nas.recipe import RECIPES
from nas.report import checklist, grid, pairs, write_text
from nas.search import THREADS
from nas.space import Candidate, Space
from nas.statistics import Floats

GIGA = 1e9
WALKS = 100  # a network wanted, at most: small spaces end before
RESAMPLES = 2_000


class Schedule(NamedTuple):
    """What a whole search trains."""

    networks: int = 2_700
    epochs: int = 20
    images: int = 45_000  # of each epoch


class Hours(NamedTuple):
    """What a whole search takes with all workers busy."""

    fitted: float
    interval: tuple[float, float]  # the bootstrap 95 % interval of the fit's, over the children trained
    mean: float  # if the children trained, evenly spread over all, stand for the rest without a fit


def drawn(space: Space, networks: int, seed: int = 0) -> list[tuple[int, Candidate]]:
    """So many different random networks with their multiply-adds, the most costly first.

    Raises UserError if the space has fewer, or networks whose cost is not known.
    """
    rng = random.Random(seed)
    found: dict[str, Candidate] = {}
    for _ in range(WALKS * networks):
        candidate = space.sample(rng)
        found.setdefault(candidate.key, candidate)
        if len(found) == networks:
            return sorted(((_madds(space, one), one) for one in found.values()), key=lambda pair: -pair[0])
    raise UserError(f"{space!r}: found {len(found)} different networks, expected {networks:,}; give fewer --networks")


def _madds(space: Space, candidate: Candidate) -> int:
    network = candidate.network
    costs = network.costs(space.images) if isinstance(network, Network) else None
    if costs is None:
        raise UserError(f"{space!r}: found networks of unknown cost, expected multiply-adds by which to sum them up")
    return costs.madds


def spread(count: int, of: int) -> list[int]:
    """So many places, evenly spread over `of` of them, each in the middle of its part."""
    return [int((place + 0.5) * of / count) for place in range(count)]


def seconds(pool: Pool, candidates: Sequence[Candidate]) -> Floats:
    """(n,) that each child takes while the others are under way.

    Raises UserError for one that fails.
    """
    for number, candidate in enumerate(candidates):
        pool.submit(Job(number, candidate.answers, seed=number))
    results = dict(watched((pool.wait() for _ in candidates), len(candidates), "nothing is written"))
    for number, result in results.items():
        if result.error:
            raise UserError(
                f"child {number}: found {result.error}, expected it to train; give fewer --workers or --images"
            )
    return np.array([results[number].seconds for number in range(len(candidates))])


def hours(every: Floats, madds: Floats, taken: Floats, schedule: Schedule, workers: int, saved: float = 0) -> Hours:
    """every (networks,): multiply-adds of all; madds, taken (n,): of the children trained, with seconds an image.

    saved: the share of epochs that children do not train for because a rule stops them.
    """
    whole = schedule.epochs * schedule.images * (1 - saved) / workers / 3600
    rng, places = np.random.default_rng(0), np.arange(len(taken))
    sums = [_summed(every, madds[some], taken[some]) for some in rng.choice(places, (RESAMPLES, len(taken)))]
    low, high = np.quantile(sums, [0.025, 0.975])
    return Hours(
        whole * _summed(every, madds, taken), (whole * low, whole * high), whole * len(every) * float(taken.mean())
    )


def _summed(every: Floats, madds: Floats, taken: Floats) -> float:
    """Seconds an image of all networks together."""
    slope, constant = line(madds, taken)
    return float((constant + slope * every).sum())


def line(madds: Floats, taken: Floats) -> tuple[float, float]:
    """Slope and constant, neither below 0, of seconds an image by multiply-adds: least squares of relative errors."""
    from scipy import optimize  # takes a second to import

    (slope, constant), _ = optimize.nnls(
        np.stack([madds / GIGA, np.ones(len(madds))], axis=1) / taken[:, None], np.ones(len(madds))
    )
    return float(slope / GIGA), float(constant)


# --- what is shown ---


def markdown(
    every: Floats, madds: Floats, taken: Floats, schedule: Schedule, workers: int, saved: float, said: Sequence[str]
) -> str:
    """The table, what its figures are, and what a repetition needs to know; as `hours` takes them."""
    rows = []
    for share in dict.fromkeys((0.0, saved)):
        found = hours(every, madds, taken, schedule, workers, share)
        epochs = f"{100 * share:.0f} %" if share else "none"
        rows.append(
            [epochs, f"{found.fitted:,.1f}", "{:,.1f} to {:,.1f}".format(*found.interval), f"{found.mean:,.1f}"]
        )
    slope, constant = line(madds, taken)
    low, middle, high = np.quantile(every / GIGA, [0.05, 0.5, 0.95])
    texts = [
        grid(["epochs saved", "hours", "95 %", "without a fit"], rows, words=1),
        f"{schedule.networks:,} networks of {schedule.epochs} epochs on {schedule.images:,} images, {workers} at once; "
        f"their billions of multiply-adds an image: mean {every.mean() / GIGA:.2f}, median {middle:.2f}, 5 to 95 % "
        f"{low:.2f} to {high:.2f}.",
        f"Fitted to {len(taken)} children: {1e6 * constant:,.1f} µs an image and {1e6 * GIGA * slope:,.1f} µs more for "
        f"each billion of multiply-adds, which is {2e-12 * 3 * workers / slope if slope else 0:,.1f} trillion "
        "operations a second at three passes; the interval is a bootstrap over the children. Without a fit: their own "
        "mean, for they are evenly spread over all networks by multiply-adds.",
        *said,
    ]
    return "\n\n".join(texts) + "\n"


def conditions(data: Data, gpu: str | None, facts: Mapping[str, Any]) -> list[str]:
    """What a repetition needs to know; gpu: that was trained on; facts: as `nas.report.checklist` gives them."""
    hardware, beside = facts["hardware"], f", {gpu}" if gpu else ""
    kind = data.name.partition(":")[0]
    return [
        f"Each child was trained for one epoch of {len(data.train):,} images of {kind} by MetaQNN's recipe and then "
        f"looked at {len(data.valid):,} for validation; seconds an image are all of its time over the former.",
        f"In {facts['wall_seconds']:,.0f} s on {hardware['cpu']}, {hardware['cores']} cores{beside}; "
        f"{pairs(facts['code'])}, {pairs(facts['versions'])}.",
        f"`{facts['command']}`",
    ]


# --- the command line ---

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="As for `nas search`.")] = "metaqnn",
    data: Annotated[str, typer.Option("--data", "-d", help="As for `nas search`.")] = "cifar10",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    images: Annotated[int, typer.Option(min=2, help="Of the training images, a fifth of them for validation.")] = 5_000,
    children: Annotated[int, typer.Option(min=10, help="How many are trained.")] = 50,
    workers: Annotated[int | None, typer.Option(min=1, help="Children at once; a core each, or 8 on a GPU.")] = None,
    networks: Annotated[int, typer.Option(min=2, help="Of the whole search.")] = Schedule().networks,
    epochs: Annotated[int, typer.Option(min=1, help="Of the whole search.")] = Schedule().epochs,
    training: Annotated[int, typer.Option(min=1, help="Images an epoch of the whole search.")] = Schedule().images,
    saved: Annotated[
        float, typer.Option(min=0, max=0.99, help="Share of epochs that a rule saves (`benchmarks.stopping`).")
    ] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for the table, as Markdown.")] = None,
) -> None:
    """Estimate what a whole search takes, from children of its space trained for a short while."""
    begun = time.monotonic()
    names.device(device)
    if children > networks:
        raise UserError(f"--children: found {children}, expected at most the {networks:,} of --networks")
    pictures = load(data, images=images)
    here = names.space(space).on(pictures.images)
    every = drawn(here, networks)
    some = [every[place] for place in spread(children, networks)]
    if out:
        write_text(out, "")
    recipe = replace(RECIPES["metaqnn"], epochs=1, restarts=0)
    with closing(RayPool(Training(here, pictures, recipe, device, THREADS, None), workers, MOST)) as pool:
        took = seconds(pool, [candidate for _, candidate in some])
    schedule = Schedule(networks, epochs, training)
    gpu = None if device == "cpu" else machine.gpu()
    facts = checklist(command("hours").replace(data, data.partition(":")[0]), time.monotonic() - begun)
    all_madds, madds = (np.array([cost for cost, _ in of], float) for of in (every, some))
    text = markdown(
        all_madds, madds, took / len(pictures.train), schedule, pool.workers, saved, conditions(pictures, gpu, facts)
    )
    console.print(text, markup=False)
    if out:
        write_text(out, text)


if __name__ == "__main__":
    run(app, "hours")
