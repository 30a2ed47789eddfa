"""What stopping children early saves and costs: rules replayed on full curves that were recorded once.

    nas search chain -c random -d digits --limit input_size=8 -e 12 --unique 220 -n 1000 -o runs/digits
    nas search chain -c random -d folder:cifar10 --image-size 32 --images 3000 --limit input_size=16 -e 10 --unique 80 \
        -n 1000 -o runs/cifar
    python -m benchmarks.stopping record runs/digits runs/cifar
    python -m benchmarks.stopping replay --out stopping.md

`record` takes the curves out of the ledgers of searches without a rule. `replay` searches among these children over and
over, in random orders: the loop is that of every search, the controller gives the next child, and its training is its
curve as far as its bar lets it go.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from benchmarks.compare import InMemory
from benchmarks.processes import command, run, side_by_side, watched
from nas import data, names, report
from nas.errors import UserError
from nas.ledger import read
from nas.machine import cores
from nas.network import Images
from nas.pool import Job, Serial
from nas.reward import Result, accuracy
from nas.search import Loop
from nas.space import Candidate, Limit, Space
from nas.statistics import Floats, bootstrap
from nas.stop import is_below
from nas.summary import interval

CURVES = Path(__file__).parent / "curves.json"
RULES = (
    "halving", "halving:first=1", "halving:first=3", "halving:factor=2", "halving:factor=4",
    "prediction", "prediction:first=1", "prediction:sure=0.8", "prediction:sure=0.9",
)  # fmt: skip
WINDOW = 8
CHUNK = 25  # orders that a process goes through at a time
CONDITIONS = ("space", "limits", "data", "training", "validation", "fingerprint", "recipe", "reward")


@dataclass(frozen=True)
class Recorded:
    """Children trained to their ends under the same conditions."""

    conditions: Mapping[str, Any]  # of their searches' headers, and the images' native size, channels and classes
    children: Mapping[tuple[int, ...], Result]  # by answers; no two are the same network

    @property
    def epochs(self) -> int:
        """Of each child."""
        return int(self.conditions["recipe"]["epochs"])

    def space(self) -> Space:
        """Where they come from."""
        limits = {choice: Limit(*limit) for choice, limit in self.conditions["limits"].items()}
        found = next(kind() for kind in names.spaces().values() if repr(kind()) == self.conditions["space"])
        return found.on(Images(*self.conditions["images"]), limits)

    def train(self, job: Job) -> Result:
        """The child's curves up to the epoch after which its bar stops it."""
        whole = self.children[job.answers]
        for epochs in range(1, self.epochs):
            if is_below(whole.loss[:epochs], job.bar):
                return replace(whole, accuracy=whole.accuracy[:epochs], loss=whole.loss[:epochs], bar=job.bar)
        return whole


# --- recording ---


def recorded(folders: Iterable[Path]) -> list[Recorded]:
    """The children of these searches, those together that were trained under the same conditions.

    Raises UserError for a search with a rule, or in a space that is no built-in without parameters.
    """
    found: dict[str, tuple[dict[str, Any], dict[str, tuple[tuple[int, ...], Result]]]] = {}
    for folder in folders:
        header, trials = read(folder)
        if header.get("stop") or header["space"] not in {repr(kind()) for kind in names.spaces().values()}:
            raise UserError(
                f"{folder}: found the space {header['space']} and the rule {header.get('stop') or 'none'}, expected a "
                "built-in space without parameters, and children that were all trained to their ends"
            )
        conditions = {name: header[name] for name in CONDITIONS} | {"images": list(data.native(header["data"]))}
        _, children = found.setdefault(json.dumps(conditions), (conditions, {}))
        children.update({t.key: (t.answers, t.result) for t in trials if t.scored and t.result})
    return [Recorded(conditions, dict(children.values())) for conditions, children in found.values()]


def written(sets: Iterable[Recorded]) -> str:
    """As JSON Lines: conditions, then the children that have them, each as answers, accuracy and loss by epoch."""
    lines: list[Any] = []
    for one in sets:
        lines.append(one.conditions)
        lines += [[answers, result.accuracy, result.loss] for answers, result in one.children.items()]
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def parsed(text: str) -> list[Recorded]:
    """What `written` wrote."""
    sets: list[tuple[dict[str, Any], dict[tuple[int, ...], Result]]] = []
    for line in map(json.loads, text.splitlines()):
        if isinstance(line, dict):
            sets.append((line, {}))
        else:
            sets[-1][1][tuple(line[0])] = Result(tuple(line[1]), tuple(line[2]))
    return [Recorded(*one) for one in sets]


# --- replaying ---


class Replay(NamedTuple):
    """One search among recorded children; arrays (children,), in the order of trials."""

    saved: float  # share of all epochs
    chosen: float  # final accuracy of the best child that was not stopped
    told: Floats  # rewards
    last: Floats  # accuracies after the last epoch that each was trained for
    final: Floats  # accuracies after all epochs


class InOrder:
    """A controller that gives these candidates and learns nothing."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = candidates

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """The next one."""
        return self.candidates[trial]

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Nothing."""


def replays(one: Recorded, children: int, stop: str, seeds: Sequence[int]) -> list[Replay]:
    """For each seed a search among so many of the children, drawn at random; stop: a rule as for `nas search`."""
    space = one.space()
    candidates = [space.replay(answers) for answers in one.children]
    return [
        replayed(one, space, [candidates[place] for place in order[:children]], stop)
        for order in (np.random.default_rng(seed).permutation(len(candidates)) for seed in seeds)
    ]


def replayed(one: Recorded, space: Space, candidates: Sequence[Candidate], stop: str) -> Replay:
    """A search whose controller asks for these candidates."""
    loop = Loop(
        space, InOrder(candidates), Serial(one.train), InMemory(), accuracy,
        seed=0, window=WINDOW, trials=len(candidates), epochs=one.epochs, stop=names.stop(stop),
    )  # fmt: skip
    done = {trial.trial: (trial.reward, trial.result) for trial in loop.run()}
    rewards, results = zip(*(done[number] for number in range(len(candidates))), strict=True)
    return Replay(
        1 - sum(len(result.accuracy) for result in results) / (one.epochs * len(results)),
        max(result.accuracy[-1] for result in results if not result.bar),
        np.array(rewards),
        np.array([result.accuracy[-1] for result in results]),
        np.array([one.children[candidate.answers].accuracy[-1] for candidate in candidates]),
    )


class Row(NamedTuple):
    """A rule on one set of children, over all orders. Accuracies in percent."""

    data: str
    rule: str
    saved: float  # share of epochs, mean
    chosen: float  # mean
    around: tuple[float, float]  # the 95 % interval of one such accuracy, by the number of validation images
    difference: float  # of the mean, to no rule
    interval: tuple[float, float]  # its bootstrap 95 % interval
    same: float  # share of orders with as good a child chosen
    told: float  # rank correlation of told rewards with final accuracies, mean
    last: float  # the same if each child's last accuracy were told


def row(one: Recorded, rule: str, found: Sequence[Replay], plain: Sequence[Replay]) -> Row:
    """found, plain: with the rule and without one, in the same orders."""
    chosen, best = (np.array([replay.chosen for replay in of]) for of in (found, plain))
    return Row(
        one.conditions["data"],
        rule,
        float(np.mean([replay.saved for replay in found])),
        100 * float(chosen.mean()),
        _around(float(chosen.mean()), one.conditions["validation"]),
        100 * float((chosen - best).mean()),
        bootstrap(100 * (chosen - best)) or (np.nan, np.nan),
        float((chosen == best).mean()),
        float(np.mean([spearman(replay.told, replay.final) for replay in found])),
        float(np.mean([spearman(replay.last, replay.final) for replay in found])),
    )


def _around(accuracy: float, images: int) -> tuple[float, float]:
    low, high = interval(accuracy, images)
    return 100 * low, 100 * high


def spearman(first: Floats, second: Floats) -> float:
    """The rank correlation of values (n,) and (n,); equal ones share the mean of their ranks."""
    from scipy import stats  # takes a second to import

    return float(stats.spearmanr(first, second).statistic)


def measured(one: Recorded, children: int, orders: int, rules: Sequence[str], workers: int) -> list[Row]:
    """A row for each rule."""
    chunks = [range(first, min(orders, first + CHUNK)) for first in range(0, orders, CHUNK)]
    tasks = [(rule, chunk) for rule in ("none", *rules) for chunk in chunks]
    coming = side_by_side(partial(_task, one, children), tasks, workers)
    found = dict(watched(coming, len(tasks), "nothing is written"))
    by_rule = {rule: [replay for chunk in chunks for replay in found[rule, chunk]] for rule in ("none", *rules)}
    return [row(one, rule, by_rule[rule], by_rule["none"]) for rule in ("none", *rules)]


def _task(one: Recorded, children: int, rule: str, seeds: range) -> tuple[tuple[str, range], list[Replay]]:
    return (rule, seeds), replays(one, children, rule, seeds)


def markdown(rows: Sequence[Row], orders: int, counts: Mapping[str, tuple[int, int]], facts: Mapping[str, Any]) -> str:
    """The table, what its figures are, and what a repetition needs to know; counts: children drawn, and in all."""
    heads = ["data", "rule", "epochs saved", "chosen", "own 95 %", "difference", "95 %", "as good"]
    heads += ["rank, told", "rank, last"]
    hardware = facts["hardware"]
    said = [
        "# What stopping children early saves and costs",
        report.grid(heads, map(_line, rows), words=2),
        "Chosen: final validation accuracy, in percent, of the best child that was not stopped, as a mean over orders, "
        "and Wilson's 95 % interval of such an accuracy for the number of validation images; its difference to no rule "
        "in the same orders, with a bootstrap 95 % interval over the orders, and the share of orders in which it is "
        "none. Rank: Spearman's correlation of what is told with the accuracies after all "
        "epochs, if a stopped child's estimate is told, and if its last accuracy were.",
        *(f"{name}: {drawn} of {every} recorded children an order." for name, (drawn, every) in counts.items()),
        f"{orders} orders, window {WINDOW}, on {hardware['cpu']}; {report.pairs(facts['code'])}, "
        f"{report.pairs(facts['versions'])}.",
        f"`{facts['command']}`",
    ]
    return "\n\n".join(said) + "\n"


def _line(one: Row) -> list[str]:
    figures = [f"{100 * one.saved:.0f} %", f"{one.chosen:.2f}", "{:.1f} to {:.1f}".format(*one.around)]
    figures += [f"{one.difference:+.3f}", "{:+.3f} to {:+.3f}".format(*one.interval)]
    return [one.data, one.rule, *figures, f"{100 * one.same:.0f} %", f"{one.told:.3f}", f"{one.last:.3f}"]


# --- the command line ---

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def record(
    folders: Annotated[list[Path], typer.Argument(help="Of searches without a rule; their data must be at hand.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file for the curves.")] = CURVES,
) -> None:
    """Take the curves of all children out of ledgers."""
    sets = recorded(folders)
    report.write_text(out, written(sets))
    for one in sets:
        console.print(f"{one.conditions['data']}: {len(one.children)} children of {one.epochs} epochs", markup=False)


@app.command()
def replay(
    curves: Annotated[Path, typer.Option(help="A file that `record` wrote.")] = CURVES,
    rules: Annotated[
        list[str] | None, typer.Option("--stop", "-s", help=f"May be repeated; {', '.join(RULES)} unless given.")
    ] = None,
    orders: Annotated[int, typer.Option(min=2, help="Random orders of each set of children.")] = 500,
    children: Annotated[int, typer.Option(min=2, help="Drawn for an order, at most 4 of 5 recorded ones.")] = 100,
    workers: Annotated[int | None, typer.Option(min=1, help="Searches at once; all cores unless given.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for the table, as Markdown.")] = None,
) -> None:
    """Replay rules on recorded curves."""
    begun = time.monotonic()
    wanted = rules or list(RULES)
    for rule in wanted:
        names.stop(rule)
    sets = parsed(_read(curves))
    counts = {one.conditions["data"]: (min(children, len(one.children) * 4 // 5), len(one.children)) for one in sets}
    rows = [
        row
        for one in sets
        for row in measured(one, counts[one.conditions["data"]][0], orders, wanted, workers or cores())
    ]
    text = markdown(rows, orders, counts, report.checklist(command("stopping"), time.monotonic() - begun))
    console.print(text, markup=False)
    if out:
        report.write_text(out, text)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise UserError(
            f"{path}: found {error.strerror}, expected curves; record some with python -m benchmarks.stopping record"
        ) from None


if __name__ == "__main__":
    run(app, "stopping")
