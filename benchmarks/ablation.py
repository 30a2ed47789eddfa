"""What each part of our controllers is worth: one thing changed at a time, on both tables, over the same seeds.

    python -m benchmarks.ablation --seeds 100 --out runs/ablation

Each line is a controller with its defaults but for what the line says; figures are means over seeds after 100 and 200
different networks, with their standard errors: the highest reward, which is what defaults are chosen by, and the test
accuracy of the network that has it, which nothing may be chosen by.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from benchmarks.compare import Contender, Terms, searches
from benchmarks.processes import command, run, watched
from benchmarks.tables import Table, load
from nas import report
from nas.errors import UserError
from nas.pool import cores

TABLES = ("nasbench201", "nasbench-macro")
BUDGETS = (100, 200)
SAID = {"rewards": "highest reward, %", "results": "test accuracy, %"}
PAPERS_Q = ("rate=0.01", "trace=0", "schedule=metaqnn")
PLAIN = ("baseline=average", "best=0", "explore=0", "screen=1")

# What is changed, in words, and the settings that change it.
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "reinforce": {
        "as it is": (),
        "no critic: what the policy draws is trained": ("screen=1",),
        "8 samples screened": ("screen=8",),
        "128 samples screened": ("screen=128",),
        "the best are not imitated": ("best=0",),
        "a moving average as baseline, no ranks": ("baseline=average",),
        "no answers by lot": ("explore=0",),
        "a tenth of the rate": ("rate=0.002",),
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
}


class Figure(NamedTuple):
    """What is said of many seeds."""

    mean: float
    error: float  # the mean's standard error


class Line(NamedTuple):
    """One variant on all tables."""

    controller: str
    variant: str
    rewards: tuple[Figure, ...]  # the highest, in percent where the table has percent; by table, then by budget
    results: tuple[Figure, ...]  # of the networks chosen, likewise


def measured(tables: Sequence[Table], seeds: int, workers: int, controllers: Sequence[str]) -> Iterator[Line]:
    """Every variant of these controllers on every table."""
    terms = Terms(max(BUDGETS), max(BUDGETS))
    for controller in controllers:
        for variant, settings in VARIANTS[controller].items():
            contender = Contender(controller, settings)
            rewards, results = [], []
            for table in tables:
                done = watched(searches(table, [contender], terms, range(seeds), workers), seeds, "nothing is written")
                unit = 100 if table.percent else 1
                rewards += [_figure([unit * one.rewards[:budget].max() for one in done]) for budget in BUDGETS]
                results += [_figure([report.incumbents(one, budget)[-1] for one in done]) for budget in BUDGETS]
            yield Line(controller, variant, tuple(rewards), tuple(results))


def _figure(values: Sequence[float]) -> Figure:
    return Figure(float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5)


def head(tables: Sequence[Table], seeds: int, facts: Mapping[str, Any]) -> str:
    """What the figures are, and what a repetition needs to know; facts: as `nas.report.checklist` gives them."""
    hardware = facts["hardware"]
    said = [
        "# What each part of a controller is worth",
        "Means over seeds with their standard errors, after so many different networks: of the highest reward, and of "
        "the test accuracy of the network that has it. A line is the controller with its defaults but for what the "
        "line says. Defaults are chosen by rewards: no search sees the test accuracies, and nobody who sets one may.",
        f"{seeds} seeds, 0 to {seeds - 1}, on {hardware['cpu']}, {hardware['cores']} cores, in "
        f"{facts['wall_seconds']:,.0f} s; {report.pairs(facts['code'])}, {report.pairs(facts['versions'])}.",
        *(f"{table.name}: {table.path.name}, SHA-256 {table.sha256}." for table in tables),
        f"`{facts['command']}`",
    ]
    return "\n\n".join(said) + "\n"


def markdown(lines: Sequence[Line]) -> str:
    """The lines as two tables a controller: of rewards, and of what the chosen networks are judged by."""
    heads = [f"{table} after {budget}" for table in TABLES for budget in BUDGETS]
    text = []
    for controller in dict.fromkeys(line.controller for line in lines):
        own = [line for line in lines if line.controller == controller]
        for what in ("rewards", "results"):
            rows = [
                [line.variant, *(f"{mean:.3f} ± {error:.3f}" for mean, error in getattr(line, what))] for line in own
            ]
            text.append(report.grid([f"{controller}, {SAID[what]}", *heads], rows))
    return "\n\n".join(text) + "\n"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for ablation.md.")],
    seeds: Annotated[int, typer.Option(min=2, help="How many searches of each variant on each table.")] = 100,
    controller: Annotated[
        list[str] | None, typer.Option("--controller", "-c", help="One of those with variants; may be repeated.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Searches at once; all cores unless given.")] = None,
) -> None:
    """Change one part of a controller at a time and say what it was worth."""
    begun = time.monotonic()
    wanted = controller or list(VARIANTS)
    for name in wanted:
        if name not in VARIANTS:
            raise UserError(f"--controller: found {name!r}, expected one with variants: {', '.join(VARIANTS)}")
    tables = [load(name) for name in TABLES]
    report.make_folder(out)
    lines = []
    for line in measured(tables, seeds, workers or cores(), wanted):
        lines.append(line)
        console.print(f"{line.controller}, {line.variant}: {' / '.join(f'{of.mean:.3f}' for of in line.rewards)}")
    facts = report.checklist(command("ablation"), time.monotonic() - begun)
    console.print(markdown(lines), markup=False)
    report.write_text(out / "ablation.md", f"{head(tables, seeds, facts)}\n{markdown(lines)}")
    console.print(f"written: {out / 'ablation.md'}", markup=False)


if __name__ == "__main__":
    run(app, "ablation")
