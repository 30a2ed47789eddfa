"""Controllers side by side on real children, over many seeds: `python -m benchmarks.children --help`.

    python -m benchmarks.children --out runs/children

Each search is `nas.search.search`, with its ledger in the folder CONTROLLER-seedN: run again, the program goes on where
it stopped. A budget of N is N different networks; repeats are free. Then the ledgers are compared as by `nas compare`,
and the network that each search chose, by validation accuracy, is trained once more, as it was, and judged on the test
images, which nothing before has seen.

A child's result depends on the search's seed and its network alone. So what one controller's search has trained, those
of others with the same seed take from its ledger, seconds too: it saves time and changes no figure but wall seconds.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from benchmarks.compare import SETTINGS, Contender, contenders
from benchmarks.processes import command, run, side_by_side, watched
from nas import compare, names, report
from nas.check import sound
from nas.data import Data, load, test_images
from nas.errors import UserError
from nas.ledger import FILE, read
from nas.machine import cores
from nas.pool import Job, Serial, Training
from nas.recipe import RECIPES
from nas.report import Figures
from nas.reward import Result
from nas.search import THREADS, child_seed
from nas.search import search as begin

RECIPE = RECIPES["quick"]
DEVICE = "cpu"  # where sums are exact, so that a run repeats another's figures
SAMPLERS = ("tpe", "cmaes", "gp")  # Optuna's that get better by what they are told


@dataclass(frozen=True)
class Terms:
    """What all searches of a comparison share."""

    out: Path  # the folder of all ledgers
    space: str  # as typed
    data: Data
    budget: int  # different networks
    window: int = 8
    patience: int = 1_000  # repeats in a row that end a search

    def folder(self, contender: Contender, seed: int) -> Path:
        """Of a search's ledger."""
        fit = "".join(c if c.isalnum() or c in "=.,-" else "_" for c in contender.typed)
        return self.out / f"{fit}-seed{seed}"


def search(terms: Terms, contender: Contender, seed: int) -> tuple[Path, float]:
    """Search once, or go on with it, and judge what it chose: its folder, and `judged`."""
    kind, parameters = contender.made()
    folder = terms.folder(contender, seed)
    coming = begin(
        names.space(terms.space), kind, terms.data, folder,
        trials=terms.budget * terms.patience, unique=terms.budget, patience=terms.patience, parameters=parameters,
        recipe=RECIPE, seed=seed, window=terms.window, device=DEVICE,
        pool=lambda training: Serial(Remembered(training, folder)),
    )  # fmt: skip
    for _ in coming:
        pass
    return folder, judged(terms, folder)


class Remembered:
    """Trains a child, or takes its result from the ledger of another controller's search with the same seed.

    The ledgers are read when the first child is to be trained, those in the folders beside `folder`.
    """

    def __init__(self, training: Training, folder: Path) -> None:
        self.training, self.folder = training, folder
        self.results: dict[str, Result] | None = None

    def __call__(self, job: Job) -> Result:
        """The child's result."""
        if self.results is None:
            self.results = known(self.folder)
        return self.results.get(self.training.space.replay(job.answers).key) or self.training(job)


def known(folder: Path) -> dict[str, Result]:
    """By network, what searches beside this one have trained under the same conditions and with the same seed."""
    own, _ = read(folder)
    results: dict[str, Result] = {}
    for ledger in sorted(folder.parent.glob(f"*-seed{own['seed']}/{FILE}")):
        with contextlib.suppress(UserError):  # one that begins at this moment; of damage its own search will tell
            header, trials = read(ledger.parent)
            if all(header.get(name) == own.get(name) for name in (*compare.SAME, "seed")):
                results |= {trial.key: trial.result for trial in trials if trial.result and not trial.stopped}
    return results


def judged(terms: Terms, folder: Path) -> float:
    """Test accuracy, in percent, of the network with the highest reward; NaN where all failed, or now that one does."""
    header, trials = read(folder)
    trained = compare.trained(trials)[: terms.budget]
    if all(trial.reward is None for trial in trained):
        return math.nan
    place = report.chosen(np.array([trial.reward for trial in trained], float))[-1]
    trial, data = trained[place], on_test_images(terms.data)
    space = names.space(terms.space).on(data.images)
    training = Training(space, data, RECIPE, DEVICE, THREADS, None)
    result = training(Job(trial.trial, trial.answers, child_seed(header["seed"], trial.key)))
    return math.nan if result.error else 100 * result.accuracy[-1]


def on_test_images(data: Data) -> Data:
    """The same training images, and the test images in the place of the validation images."""
    pixels, labels = test_images(data.name)
    count = len(data.labels)
    return replace(
        data,
        pixels=np.concatenate([data.pixels, pixels]),
        labels=np.concatenate([data.labels, labels]),
        valid=np.arange(count, count + len(labels)),
    )


def figures(folders: Sequence[Path], budget: int, tested: Mapping[Path, float]) -> Figures:
    """What `nas compare` says of the ledgers, and the test accuracy of what they chose; without the checklist."""
    groups = compare.grouped(folders)
    references = compare.baselines(groups)
    found = compare.figures(groups, compare.equal_budget(groups, budget), references)
    results = {name: {header["seed"]: tested[folder] for folder, header, _ in group} for name, group in groups.items()}
    after = f"{found['after'][-1]['after']}: test accuracy of the network chosen by validation"
    found["after"].append(report.moment(after, results, references))
    found["about"] += " Below, the network chosen so is judged on test images too."
    found["notes"].append(
        "Searches with the same seed share the training of equal networks: wall seconds do not compare, but seconds of "
        "training do, for they count each network as if it had been trained."
    )
    missing = sum(math.isnan(accuracy) for accuracy in tested.values())
    if missing:
        found["notes"].append(
            f"{missing} of {len(tested)} searches have no test accuracy: all that they trained failed, or the chosen "
            "network did when it was trained once more. They are left out of its means and tests."
        )
    found["conditions"] |= {
        "test accuracy": "of the chosen network on the test images, after one more training with the same seed",
        "wall time is that of": "this run; searches that it found finished took none",
    }
    return found


# --- the command line ---

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder for the ledgers and comparison.json, .md, .png.")
    ],
    seeds: Annotated[int, typer.Option(min=1, help="How many searches of each controller.")] = 10,
    budget: Annotated[int, typer.Option(min=1, help="Different networks a search; repeats are free.")] = 100,
    controllers: Annotated[
        str | None,
        typer.Option(
            "--controllers",
            "-c",
            help="As for `nas search`, with commas between; all unless given. A preset's name stands for its "
            "controller with its parameters; its recipe, reward and limits do not apply.",
        ),
    ] = None,
    space: Annotated[str, typer.Option(help="As for `nas search`.")] = "chain",
    data: Annotated[str, typer.Option("--data", "-d", help="As for `nas search`.")] = "digits",
    images: Annotated[int | None, typer.Option(min=1, help="A stratified part of the training images.")] = None,
    window: Annotated[int, typer.Option(min=1, help="Trials under way at once.")] = 8,
    first_seed: Annotated[int, typer.Option(min=0, help="The seeds are this one and those after it.")] = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="CONTROLLER:NAME=VALUE", help=SETTINGS)] = None,
    patience: Annotated[int, typer.Option(min=compare.SETTLED, help="End a search after so many repeats.")] = 1000,
    workers: Annotated[int | None, typer.Option(min=1, help="Searches at once; all cores unless given.")] = None,
) -> None:
    """Compare controllers on children trained here; random search is always beside them."""
    begun = time.monotonic()
    rivals = contenders(controllers or ",".join(every()), settings or [])
    terms = Terms(out, space, load(data, images=images), budget, window, patience)
    sound(names.space(space).on(terms.data.images))
    report.make_folder(out)
    tasks = [(one, seed) for one in rivals for seed in range(first_seed, first_seed + seeds)]  # seeds first: they share
    coming = side_by_side(partial(search, terms), tasks, workers or cores())
    tested = dict(watched(coming, len(tasks), "the same command goes on from here"))
    found = figures([terms.folder(*task) for task in tasks], budget, tested)
    found["checklist"] = report.checklist(command("children"), time.monotonic() - begun)
    console.print(report.written(found, out), markup=False)


def every() -> list[str]:
    """All built-in controllers, Optuna's samplers each for itself."""
    own = [name for name in names.controllers() if name != "optuna"]
    return own + [f"optuna:{sampler}" for sampler in SAMPLERS]


if __name__ == "__main__":
    run(app, "children")
