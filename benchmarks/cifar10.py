"""CIFAR-10 within some minutes: a search, its best network trained in full, and the test images once.

    python -m benchmarks.cifar10 --minutes 30 --device cuda --out runs/cifar10
    python -m benchmarks.cifar10 --data folder:PATH --space stages:widest=32 --images 12000 --child-images 2500 \
        --minutes 6 --runs 1 --device cpu --out runs/small

A run searches for a share of its minutes, takes the network of the highest reward, and trains it on training and
validation images by the recipe of `nas finish` until the minutes are over: its rate follows the clock and not the
epochs, so it ends in time on whatever machine (budgeted training, Li et al. 2020). Random search has the same minutes
and the same seeds beside it. The space is `stages`, which has networks of the kind that is known to learn CIFAR-10
within minutes of a GPU; on a CPU narrower ones are affordable, and children that see a part of the images.

Counted are the search, as its ledger has it, with the children that are under way when its share is over, and all of
the training in full. Not counted are loading the images and starting Ray, and, when all is trained, loading the test
images and predicting on them. A search that was stopped goes on where it was, with what is left of its share; a
training in full that was stopped begins again, with all that the search has left it. The time between does not count.

For scale: MetaQNN has 6.92 % test error after 80 to 100 GPU-days (Baker et al. 2017, table 3), Zoph & Le 4.47 % with
pooling, from 800 GPUs (2017, table 1), both with all 50,000 training images and hours of training in the end.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.processes import command, run
from nas import machine, names
from nas.check import sound
from nas.data import Data, load, test_images
from nas.errors import UserError
from nas.ledger import Trial, read, sealed, unsealed
from nas.model.judge import figures, predicted
from nas.model.saved import Model
from nas.model.training import Finished, loaded, strong, trained
from nas.pages.alone import network as drawing
from nas.pages.page import opened, write
from nas.plot import plot
from nas.pool import RayPool, Serial
from nas.recipe import RECIPES
from nas.report import checklist, counted, grid, make_folder, pairs
from nas.search import THREADS, search
from nas.space import Child, Space
from nas.summary import best, described, interval
from nas.train import Resident

SCALE = "For scale: MetaQNN 6.92 %, Zoph & Le 4.47 %, with all training images and days of GPUs. "  # of CIFAR-10
NETWORK, REWARDS = "network.svg", "rewards.png"  # the pictures, beside the Markdown


@dataclass(frozen=True)
class Outcome:
    """One run: what was found, and where its minutes went. Accuracies are fractions."""

    controller: str
    seed: int
    networks: int  # trained in the search
    validation: float  # accuracy of the network chosen, in the search
    network: str
    params: int | None
    madds: int | None
    searching: float  # seconds
    training: float  # seconds, in full
    epochs: float  # the last one need not be whole
    accuracy: float  # on the test images
    images: int  # of these


@dataclass(frozen=True)
class Terms:
    """What all runs have in common."""

    space: Space
    data: Data
    children: Data  # what children of the search train on
    out: Path
    seconds: float  # of a run
    share: float  # of these, for the search
    epochs: int  # of a child
    device: str
    workers: int | None

    def folder(self, controller: str, seed: int) -> Path:
        """Of a run."""
        return self.out / f"{controller}-seed{seed}"

    def file(self, controller: str, seed: int) -> Path:
        """What came of a run, and under which terms: one sealed line of JSON, as in a ledger."""
        return self.folder(controller, seed) / "outcome.json"

    @property
    def given(self) -> dict[str, str]:
        """What decides an outcome, as a person would say it."""
        whole, children, kind = self.data, self.children, self.data.name.partition(":")[0]
        return {
            "minutes": f"{self.seconds / 60:g}",
            "share": f"{self.share:g}",
            "epochs": f"{self.epochs}",
            "space": repr(self.space),
            "images": f"{len(whole.train) + len(whole.valid)}",
            "child-images": f"{len(children.train) + len(children.valid)}",
            "device": self.device,
            "workers": "all" if self.workers is None else f"{self.workers}",
            "data": f"{kind} with fingerprints {whole.fingerprint} and {children.fingerprint}",
        }


def outcome(terms: Terms, controller: str, seed: int) -> Outcome:
    """Run once; what is there already is not run again."""
    done = there(terms, controller, seed)
    if done is None:
        done = _outcome(terms, controller, seed)
        write(terms.file(controller, seed), sealed({"terms": terms.given, **asdict(done)}).decode())
    return done


def there(terms: Terms, controller: str, seed: int) -> Outcome | None:
    """What came of a run that is done; raises UserError if its file is damaged, or was written under other terms."""
    file = terms.file(controller, seed)
    if not file.exists():
        return None
    try:
        record = unsealed(file.read_bytes().rstrip(b"\n"))
        given, done = record.pop("terms"), Outcome(**record)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{file}: found a file that cannot be used ({error}), expected the outcome of a run; remove it, and the "
            "training in full is done again"
        ) from None
    for name, now in terms.given.items():
        if given.get(name) != now:
            raise UserError(
                f"{file}: found the outcome of a run with {name} {given.get(name)}, expected {now}, as is asked for "
                "now; ask for the same as then, or choose another --out"
            )
    return done


def _outcome(terms: Terms, controller: str, seed: int) -> Outcome:
    winner, networks, searching = searched(terms, controller, seed)
    network = terms.space.on(terms.data.images).replay(winner.answers, winner.trial).network
    begun = time.monotonic()
    finished, model = finish(terms, network, seed, terms.seconds - searching)
    training = time.monotonic() - begun
    pixels, labels = test_images(terms.data.name)
    found = figures(labels, [predicted(model, pixels, machine.device(terms.device))])
    assert winner.result is not None
    return Outcome(
        controller, seed, networks, winner.result.accuracy[-1], winner.network, finished.params, finished.madds,
        round(searching, 1), round(training, 1), round(finished.epochs, 2), found["accuracy"], len(labels),
    )  # fmt: skip


def searched(terms: Terms, controller: str, seed: int) -> tuple[Trial, int, float]:
    """Search for the share of the seconds: the trial of the highest reward, how many networks were trained, seconds.

    The seconds are the ledger's, which leaves interruptions out.
    """
    kind, parameters = names.controller(controller)
    folder = terms.folder(controller, seed)
    recipe = replace(RECIPES["quick"], epochs=terms.epochs)
    for _ in search(
        terms.space, kind, terms.children, folder, trials=1_000_000, seconds=terms.share * terms.seconds,
        parameters=parameters, recipe=recipe, seed=seed, device=terms.device,
        pool=Serial if terms.workers == 0 else partial(RayPool, workers=terms.workers),
    ):  # fmt: skip
        pass
    _, trials = read(folder)
    highest = best(trials, 1)
    if not highest:
        raise UserError(f"{folder}: found no network that trained, expected one; give more --minutes")
    return highest[0], sum(trial.trained for trial in trials), max(trial.at for trial in trials)


def finish(terms: Terms, network: Child, seed: int, seconds: float) -> tuple[Finished, Model]:
    """Train in full until so many seconds have passed: the result, and the model."""
    begun, known = time.monotonic(), terms.data
    data = Resident(known, terms.device)
    left = max(0.0, seconds - (time.monotonic() - begun))
    finished = trained(network, data, strong(known, 1), seed, THREADS, limit=left, whole=True, budgeted=True)
    if finished.error:
        raise UserError(
            f"full training: found {finished.error}, expected it to train; give more --minutes, or another --seed"
        )
    module = loaded(network, known.images, finished.weights)
    return finished, Model(network, module, known.images, known.classes, known.mean, known.std)


# --- what is shown ---


HEADS = (
    "controller", "seed", "networks", "validation", "parameters", "multiply-adds", "minutes", "epochs", "test error",
)  # fmt: skip


def markdown(
    terms: Terms, outcomes: Sequence[Outcome], ledgers: Sequence[Sequence[Trial]], facts: dict[str, Any]
) -> str:
    """The table, the mean and range of each controller, the network found, and what a repetition needs to know.

    ledgers: the trials of each outcome's search.
    """
    rows, lowest = [_row(one) for one in outcomes], _lowest(outcomes)
    searches = [_ledger(one, trials) for one, trials in zip(outcomes, ledgers, strict=True)]
    hardware, data, children = facts["hardware"], terms.data, terms.children
    beside = f", {hardware['gpu']}" if terms.device != "cpu" and hardware.get("gpu") else ""
    texts = [
        grid(HEADS, rows, words=1),
        *(_mean(name, [one for one in outcomes if one.controller == name]) for name in _controllers(outcomes)),
        f"{SCALE * ('cifar10' in data.name)}Minutes are those of the search and of the training in full, of which "
        f"{terms.seconds / 60:g} were asked for in all, {100 * terms.share:.0f} % of them for the search; accuracies "
        "in percent; the network chosen is that of the highest reward, and the test images were looked at once a run.",
        f"![Rewards of the searches' networks]({REWARDS})",
        grid(LEDGER, searches, words=1),
        "What the ledgers have: trials, and of these repeats, networks that failed and networks trained; then of each "
        "quarter of the networks trained, in the order in which they ended, the mean reward, and the highest by its "
        "end.",
        f"The network of the lowest error, {lowest.controller} with seed {lowest.seed}:",
        "\n".join(["```", *described(lowest.network), "```"]),
        f"![The network of the lowest error]({NETWORK})",
        f"{len(children.train):,} images to train on and {len(children.valid):,} for validation in the search, "
        f"{len(data.train) + len(data.valid):,} in full training, {outcomes[0].images:,} test images. Children have "
        f"{counted(terms.epochs, 'epoch')}.",
        f"Searched and trained for {facts['wall_seconds'] / 60:,.0f} min on {hardware['cpu']}, {hardware['cores']} "
        f"cores{beside}; {pairs(facts['code'])}, {pairs(facts['versions'])}.",
        f"`{facts['command']}`",
    ]  # fmt: skip
    return "\n\n".join(texts) + "\n"


LEDGER = ("search", "seed", "trials", "repeats", "failed", "trained", "mean reward", "highest reward")


def _ledger(one: Outcome, trials: Sequence[Trial]) -> list[str]:
    """What one search's ledger has, and its curve in quarters."""
    rewards = [trial.reward for trial in trials if trial.scored and trial.reward is not None]
    ends = [len(rewards) * quarter // 4 for quarter in range(5)]
    parts = [(rewards[start:end], rewards[:end]) for start, end in itertools.pairwise(ends) if start < end]
    failed = sum(trial.same_as is None and trial.reward is None for trial in trials)
    repeats = sum(trial.same_as is not None for trial in trials)
    counts = [f"{count:,}" for count in (len(trials), repeats, failed, len(rewards))]
    means = ", ".join(f"{sum(part) / len(part):.3f}" for part, _ in parts)
    return [one.controller, str(one.seed), *counts, means, ", ".join(f"{max(upto):.3f}" for _, upto in parts)]


def _row(one: Outcome) -> list[str]:
    costs = ["" if cost is None else f"{cost:,}" for cost in (one.params, one.madds)]
    minutes = f"{one.searching / 60:.1f} + {one.training / 60:.1f}"
    return [
        one.controller, str(one.seed), f"{one.networks:,}", f"{100 * one.validation:.2f}", *costs, minutes,
        f"{one.epochs:,.1f}", f"{100 * (1 - one.accuracy):.2f}",
    ]  # fmt: skip


def _mean(name: str, outcomes: Sequence[Outcome]) -> str:
    """Mean and range of a controller's test error; of one run, the interval that its test images leave."""
    errors = [100 * (1 - one.accuracy) for one in outcomes]
    if len(errors) == 1:
        low, high = interval(outcomes[0].accuracy, outcomes[0].images)
        return f"{name}: test error {errors[0]:.2f} %, 95 % interval {100 - 100 * high:.2f} to {100 - 100 * low:.2f}."
    mean = sum(errors) / len(errors)
    return f"{name}: test error {mean:.2f} % in the mean of {len(errors)} runs, {min(errors):.2f} to {max(errors):.2f}."


def _lowest(outcomes: Sequence[Outcome]) -> Outcome:
    return max(outcomes, key=lambda one: one.accuracy)


def _controllers(outcomes: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(one.controller for one in outcomes))


def _plainly(data: str) -> str:
    """The data as typed, without this machine's folders."""
    kind, _, path = data.partition(":")
    return f"{kind}:{Path(path).name}" if path else kind


# --- the command line ---

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for ledgers, table and pictures.")],
    minutes: Annotated[float, typer.Option(min=0.05, help="Of a run, search and training in full together.")] = 30,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each controller, with seeds from --seed on.")] = 3,
    share: Annotated[float, typer.Option(min=0.05, max=0.95, help="Of the minutes, for the search.")] = 0.4,
    controller: Annotated[str, typer.Option("--controller", "-c", help="As for `nas search`.")] = "reinforce",
    space: Annotated[str, typer.Option(help="As for `nas search`.")] = "stages",
    data: Annotated[str, typer.Option("--data", "-d", help="As for `nas search`.")] = "cifar10",
    images: Annotated[int | None, typer.Option(min=2, help="A part of the training images.")] = None,
    child_images: Annotated[
        int | None, typer.Option(min=2, help="A part of these that the search's children have; all unless given.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Of each child of the search.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Of the search; all there are unless given; 0: one, without Ray.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the first run.")] = 0,
) -> None:
    """Search and train within some minutes, with random search beside it; the same command again goes on."""
    whole = load(data, images=images)
    terms = Terms(
        names.space(space), whole, load(data, images=child_images) if child_images else whole, out, 60 * minutes,
        share, epochs, names.device(device), workers,
    )  # fmt: skip
    sound(terms.space.on(terms.data.images))
    names.controller(controller)
    make_folder(out)
    every = [(name, number) for name in dict.fromkeys((controller, "random")) for number in range(seed, seed + runs)]
    for one in every:
        there(terms, *one)  # what is refused is refused before minutes are spent
    outcomes = []
    for one in every:
        outcomes.append(outcome(terms, *one))
        console.print(" | ".join(_row(outcomes[-1])), markup=False)
    folders = [terms.folder(one.controller, one.seed) for one in outcomes]
    plot(folders, out / REWARDS, "rewards")
    lowest = _lowest(outcomes)
    _, image = drawing(opened(terms.folder(lowest.controller, lowest.seed)), None)
    write(out / NETWORK, image)
    took = sum(one.searching + one.training for one in outcomes)
    facts = checklist(command("cifar10").replace(data, _plainly(data)), took)
    text = markdown(terms, outcomes, [read(folder)[1] for folder in folders], facts)
    write(out / "cifar10.md", text)
    console.print(text, markup=False)


if __name__ == "__main__":
    run(app, "cifar10")
