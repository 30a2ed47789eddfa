"""What each part of our controllers is worth: one thing changed at a time, over the same seeds.

    python -m benchmarks.ablation --seeds 100 --out runs/ablation

Each line is a controller with its defaults but for what the line says; figures are means over seeds after 100 and 200
different networks, with their standard errors: the highest reward, which is what defaults are chosen by, and the test
accuracy of the network that has it, which nothing may be chosen by. A landscape typed without its seed, as nk:8,3,1,
is another one for each seed of a search, so that no default is fitted to one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from benchmarks.compare import Contender, Terms, search
from benchmarks.processes import command, run, side_by_side, watched
from benchmarks.tables import Table, load
from nas import report
from nas.critic import Floats
from nas.errors import UserError
from nas.pool import cores

TABLES = ("nasbench201", "nasbench-macro", "nk:8,3,1", "nk:6,5,3")
BUDGETS = (100, 200)
SAID = {"rewards": "highest reward, %", "results": "test accuracy, %"}
PAPERS_Q = ("rate=0.01", "trace=0", "schedule=metaqnn")
PLAIN = ("baseline=average", "best=0", "explore=0", "screen=1")

# What is changed, in words, and the settings that change it; baselines stand beside ours as they are.
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "reinforce": {
        "as it is": (),
        "no critic: what the policy draws is trained": ("screen=1",),
        "8 samples screened": ("screen=8",),
        "32 samples screened": ("screen=32",),
        "128 samples screened": ("screen=128",),
        "the best are not imitated": ("best=0",),
        "the 20 best are imitated": ("best=20",),
        "a moving average as baseline, no ranks": ("baseline=average",),
        "no answers by lot": ("explore=0",),
        "half the rate": ("rate=0.02",),
        "twice the rate": ("rate=0.08",),
        "a tenth of the rate": ("rate=0.004",),
        "critic alone: the policy does not move": ("rate=1e-9",),
        "no critic, and the best not imitated": ("screen=1", "best=0"),
        "the paper's rule at our rate": PLAIN,
        "the paper's rule at its rate": ("rate=0.0006", *PLAIN),
    },
    "posterior-sampling": {
        "as it is": (),
        "all draws after all that was told": ("parts=0",),
        "low scores count in full": ("lowest=-9",),
        "neither parts nor a lowest score": ("parts=0", "lowest=-9"),
        "no spread beyond the posterior": ("spread=0",),
        "no pairs": ("pairs=0",),
        "pairs only": ("pairs=1",),
        "a pool of 20": ("pool=20",),
        "a pool of one: no screening": ("pool=1",),
        "noise 0.3": ("noise=0.3",),
    },
    "q-learning": {
        "as it is": (),
        "a rate of 0.01": ("rate=0.01",),
        "a rate of 0.5": ("rate=0.5",),
        "no trace": ("trace=0",),
        "the paper's schedule": ("schedule=metaqnn",),
        "ten replays": ("replays=10",),
        "the paper's rate, trace and schedule": PAPERS_Q,
    },
    **{baseline: {"as it is": ()} for baseline in ("random", "evolution", "local")},
}


class Figure(NamedTuple):
    """What is said of many seeds."""

    mean: float
    error: float  # the mean's standard error


class Line(NamedTuple):
    """One variant on all tables."""

    controller: str
    variant: str
    rewards: Mapping[str, Sequence[Figure]]  # by table, one a budget: the highest, in percent where the table has that
    results: Mapping[str, Sequence[Figure]]  # of the networks chosen, likewise


def measured(tables: Sequence[str], seeds: int, workers: int, controllers: Sequence[str]) -> Iterator[Line]:
    """Every variant of these controllers on every table."""
    for controller in controllers:
        for variant, settings in VARIANTS[controller].items():
            rewards, results = {}, {}
            for table in tables:
                tasks = [(seed,) for seed in range(seeds)]
                work = partial(highest, table, Contender(controller, settings))
                done = np.array(watched(side_by_side(work, tasks, workers), seeds, "nothing is written"))
                rewards[table], results[table] = ([_figure(one) for one in each.T] for each in done.swapaxes(0, 1))
            yield Line(controller, variant, rewards, results)


def highest(typed: str, contender: Contender, seed: int) -> tuple[list[float], list[float]]:
    """After each budget, one search's highest reward, and the result of the network that has it."""
    table = _table(f"{typed},{seed}" if _is_many(typed) else typed)
    done = search(table, contender, seed, Terms(max(BUDGETS), max(BUDGETS)))
    unit = 100 if table.percent else 1
    rewards = [unit * float(np.nanmax(done.rewards[:budget])) for budget in BUDGETS]
    return rewards, [float(report.incumbents(done, budget)[-1]) for budget in BUDGETS]


@cache
def _table(typed: str) -> Table:
    return load(typed)


def _is_many(typed: str) -> bool:
    """Whether it is a landscape without its seed."""
    return typed.startswith("nk:") and typed.count(",") == 2


def _figure(values: Floats) -> Figure:
    return Figure(float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5)


def head(tables: Sequence[str], seeds: int, facts: Mapping[str, Any]) -> str:
    """What the figures are, and what a repetition needs to know; facts: as `nas.report.checklist` gives them."""
    hardware = facts["hardware"]
    said = [
        "# What each part of a controller is worth",
        "Means over seeds with their standard errors, after so many different networks: of the highest reward, and of "
        "the test accuracy of the network that has it. A line is the controller with its defaults but for what the "
        "line says. Defaults are chosen by rewards: no search sees the test accuracies, and nobody who sets one may.",
        f"{seeds} seeds, 0 to {seeds - 1}, on {hardware['cpu']}, {hardware['cores']} cores, in "
        f"{facts['wall_seconds']:,.0f} s; {report.pairs(facts['code'])}, {report.pairs(facts['versions'])}.",
        *(_said(typed) for typed in tables),
        f"`{facts['command']}`",
    ]
    return "\n\n".join(said) + "\n"


def _said(typed: str) -> str:
    if _is_many(typed):
        return f"{typed}: a random landscape for each seed, whose number is the landscape's fourth."
    table = _table(typed)
    return f"{table.name}: {table.path.name}{f', SHA-256 {table.sha256}' * bool(table.sha256)}."


def markdown(lines: Sequence[Line]) -> str:
    """The lines as two tables a controller: of rewards, and of what the chosen networks are judged by.

    A landscape's results are its rewards, so they are not said twice.
    """
    text = []
    for controller in dict.fromkeys(line.controller for line in lines):
        own = [line for line in lines if line.controller == controller]
        for what in ("rewards", "results"):
            tables = [table for table in own[0].rewards if what == "rewards" or not table.startswith("nk:")]
            heads = [f"{table} after {budget}" for table in tables for budget in BUDGETS]
            rows = []
            for line in own:
                figures = [figure for table in tables for figure in getattr(line, what)[table]]
                rows.append([line.variant, *(f"{mean:.3f} ± {error:.3f}" for mean, error in figures)])
            if tables:
                text.append(report.grid([f"{controller}, {SAID[what]}", *heads], rows))
    return "\n\n".join(text) + "\n"


TABLE = "As for benchmarks.compare, or a landscape without its seed, as nk:8,3,1; may be repeated; four unless given."

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for ablation.md.")],
    seeds: Annotated[int, typer.Option(min=2, help="How many searches of each variant on each table.")] = 100,
    controller: Annotated[
        list[str] | None, typer.Option("--controller", "-c", help="One of those with variants; may be repeated.")
    ] = None,
    table: Annotated[list[str] | None, typer.Option("--table", "-t", help=TABLE)] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Searches at once; all cores unless given.")] = None,
) -> None:
    """Change one part of a controller at a time and say what it was worth."""
    begun = time.monotonic()
    wanted = controller or list(VARIANTS)
    for name in wanted:
        if name not in VARIANTS:
            raise UserError(f"--controller: found {name!r}, expected one with variants: {', '.join(VARIANTS)}")
    tables = table or list(TABLES)
    for typed in tables:
        _table(f"{typed},0" if _is_many(typed) else typed)
    report.make_folder(out)
    lines = []
    for line in measured(tables, seeds, workers or cores(), wanted):
        lines.append(line)
        figures = [figure for each in line.rewards.values() for figure in each]
        console.print(f"{line.controller}, {line.variant}: {' / '.join(f'{figure.mean:.3f}' for figure in figures)}")
    facts = report.checklist(command("ablation"), time.monotonic() - begun)
    console.print(markdown(lines), markup=False)
    report.write_text(out / "ablation.md", f"{head(tables, seeds, facts)}\n{markdown(lines)}")
    console.print(f"written: {out / 'ablation.md'}", markup=False)


if __name__ == "__main__":
    run(app, "ablation")
