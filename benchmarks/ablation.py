"""What each part of our controllers is worth: one thing changed at a time, over the same seeds.

    python -m benchmarks.ablation --seeds 100 --out runs/ablation

The first line of a group has means over seeds after 100 and 200 different networks. Each further line is the same with
one thing changed, or another controller, and has the mean of what it differs by, seed by seed, with a bootstrap 95 %
interval. Differences are of the highest reward, which is what defaults are chosen by, and of the test accuracy of the
network that has it, which nothing may be chosen by. A landscape typed without its seed, as nk:8,3,1, is another one for
each seed of a search, so that no default is fitted to one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from benchmarks.compare import Contender, Terms, search
from benchmarks.processes import command, run, side_by_side, watched
from benchmarks.tables import Table, load
from nas import report
from nas.errors import UserError
from nas.machine import cores
from nas.statistics import Floats, bootstrap

TABLES = ("nasbench201", "nasbench-macro", "nk:8,3,1", "nk:6,5,3")
BUDGETS = (100, 200)
PAPERS_Q = ("rate=0.01", "trace=0", "schedule=metaqnn")
PLAIN = ("baseline=average", "best=0", "explore=0", "screen=1")

# By controller what is changed of it, in words, and the settings that change it.
CHANGES: dict[str, dict[str, tuple[str, ...]]] = {
    "reinforce": {
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
        "a rate of 0.01": ("rate=0.01",),
        "a rate of 0.5": ("rate=0.5",),
        "no trace": ("trace=0",),
        "the paper's schedule": ("schedule=metaqnn",),
        "ten replays": ("replays=10",),
        "the paper's rate, trace and schedule": PAPERS_Q,
    },
}

# By group what is searched with, in words; lines after the first are compared with that one.
GROUPS: dict[str, dict[str, Contender]] = {
    "controllers": {name: Contender(name) for name in ("random", "evolution", "local", *CHANGES)},
    **{
        controller: {"as it is": Contender(controller)}
        | {words: Contender(controller, settings) for words, settings in changes.items()}
        for controller, changes in CHANGES.items()
    },
}


class Line(NamedTuple):
    """What one controller reached, by table: (seeds, budgets), in percent where the table has percent."""

    group: str
    words: str
    rewards: Mapping[str, Floats]  # the highest
    results: Mapping[str, Floats]  # of the networks that have them


def measured(tables: Sequence[str], seeds: range, workers: int, groups: Sequence[str]) -> Iterator[Line]:
    """Every line of these groups; what stands in two groups is searched once."""
    known: dict[Contender, dict[tuple[str, int], tuple[list[float], list[float]]]] = {}
    for group in groups:
        for words, contender in GROUPS[group].items():
            if contender not in known:
                tasks = [(contender, table, seed) for table in tables for seed in seeds]
                known[contender] = dict(watched(side_by_side(_task, tasks, workers), len(tasks), "nothing is written"))
            rewards, results = (
                {table: np.array([known[contender][table, seed][part] for seed in seeds]) for table in tables}
                for part in (0, 1)
            )
            yield Line(group, words, rewards, results)


def _task(contender: Contender, typed: str, seed: int) -> tuple[tuple[str, int], tuple[list[float], list[float]]]:
    return (typed, seed), highest(typed, contender, seed)


def highest(typed: str, contender: Contender, seed: int) -> tuple[list[float], list[float]]:
    """After each budget, one search's highest reward, and the result of the network that has it."""
    table = _table(f"{typed},{seed}" if _is_many(typed) else typed)
    done = search(table, contender, seed, Terms(max(BUDGETS), max(BUDGETS)))
    unit = 100 if table.percent else 1
    rewards = [unit * float(np.nanmax(done.rewards[:budget])) for budget in BUDGETS]
    return rewards, [float(report.incumbents(done, budget)[-1]) for budget in BUDGETS]


@lru_cache(maxsize=len(TABLES))
def _table(typed: str) -> Table:
    table = load(typed)
    if len(table) <= max(BUDGETS):
        raise UserError(
            f"{typed}: found {report.counted(len(table), 'network')}, expected more than {max(BUDGETS)}, for all would "
            "find the best; give a larger table"
        )
    return table


def _is_many(typed: str) -> bool:
    """Whether it is a landscape without its seed."""
    return typed.startswith("nk:") and typed.count(",") == 2


def head(tables: Sequence[str], seeds: range, facts: Mapping[str, Any]) -> str:
    """What the figures are, and what a repetition needs to know; facts: as `nas.report.checklist` gives them."""
    hardware = facts["hardware"]
    said = [
        "# What each part of a controller is worth",
        "The highest reward after so many different networks, and the test accuracy of the network that has it, in "
        "percent where the table has that. A first line has means over seeds; a further line is the same but for what "
        "it says, or another controller, and has the mean of its differences to the first line, seed by seed, with a "
        "bootstrap 95 % interval. Defaults are chosen by rewards: no search sees the test accuracies, and nobody who "
        "sets one may.",
        f"{len(seeds)} seeds, {seeds[0]} to {seeds[-1]}, on {hardware['cpu']}, {hardware['cores']} cores, in "
        f"{facts['wall_seconds']:,.0f} s; {report.pairs(facts['code'])}, {report.pairs(facts['versions'])}.",
        *(_said(typed) for typed in tables),
        f"`{facts['command']}`",
    ]
    return "\n\n".join(said) + "\n"


def _said(typed: str) -> str:
    if _is_many(typed):
        return f"{typed}: a random landscape for each seed, whose number is the landscape's fourth."
    table = _table(typed)
    return f"{table.name}: {table.source}."


def markdown(lines: Sequence[Line]) -> str:
    """The lines as one or two tables a group: of rewards, and of results where these are others."""
    text = []
    for group in dict.fromkeys(line.group for line in lines):
        own = [line for line in lines if line.group == group]
        every = list(own[0].rewards)
        apart = [name for name in every if not np.allclose(own[0].rewards[name], own[0].results[name])]
        for said, tables, columns in (
            ("highest reward", every, [line.rewards for line in own]),
            ("test accuracy", apart, [line.results for line in own]),
        ):
            heads = [f"{table} after {budget}" for table in tables for budget in BUDGETS]
            rows = [
                [line.words, *(cell for table in tables for cell in _cells(found[table], columns[0][table]))]
                for line, found in zip(own, columns, strict=True)
            ]
            if tables:
                text.append(report.grid([f"{group}, {said}", *heads], rows))
    return "\n\n".join(text) + "\n"


def _cells(found: Floats, first: Floats) -> list[str]:
    """By budget the mean, if these are the first line's own, else the mean difference with its interval."""
    if found is first:
        return [f"{mean:.3f}" for mean in found.mean(0)]
    differences = (found - first).T
    intervals = [bootstrap(each) or (np.nan, np.nan) for each in differences]
    return [
        f"{each.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        for each, (low, high) in zip(differences, intervals, strict=True)
    ]


TABLE = (
    "As for benchmarks.compare, or a landscape without its seed, as nk:8,3,1; may be repeated; "
    f"{', '.join(TABLES)} unless given."
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for ablation.md.")],
    seeds: Annotated[int, typer.Option(min=2, help="How many searches of each line on each table.")] = 100,
    first_seed: Annotated[int, typer.Option(min=0, help="The seeds are this one and those after it.")] = 0,
    groups: Annotated[
        list[str] | None,
        typer.Option("--group", "-g", help=f"May be repeated; {', '.join(GROUPS)} unless given."),
    ] = None,
    tables: Annotated[list[str] | None, typer.Option("--table", "-t", help=TABLE)] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Searches at once; all cores unless given.")] = None,
) -> None:
    """Change one part of a controller at a time and say what it was worth after 100 and 200 networks."""
    begun = time.monotonic()
    wanted, grounds = groups or list(GROUPS), tables or list(TABLES)
    for name in wanted:
        if name not in GROUPS:
            raise UserError(f"--group: found {name!r}, expected one of {', '.join(GROUPS)}")
    for typed in grounds:
        _table(f"{typed},0" if _is_many(typed) else typed)
    report.make_folder(out)
    numbers = range(first_seed, first_seed + seeds)
    lines = []
    for line in measured(grounds, numbers, workers or cores(), wanted):
        lines.append(line)
        means = [mean for each in line.rewards.values() for mean in each.mean(0)]
        console.print(f"{line.group}, {line.words}: {' / '.join(f'{mean:.3f}' for mean in means)}")
    facts = report.checklist(command("ablation"), time.monotonic() - begun)
    console.print(markdown(lines), markup=False)
    report.write_text(out / "ablation.md", f"{head(grounds, numbers, facts)}\n{markdown(lines)}")
    console.print(f"written: {out / 'ablation.md'}", markup=False)


if __name__ == "__main__":
    run(app, "ablation")
