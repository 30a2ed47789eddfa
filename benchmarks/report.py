"""What a comparison on a table says: the figures of `nas/report.py`, and what they are of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas import names, report
from nas.report import Figures, Search

if TYPE_CHECKING:
    from benchmarks.compare import Contender, Terms
    from benchmarks.tables import Table

WARM = 30  # trials by which all that a first ask or update imports is there


def figures(
    table: Table,
    contenders: Sequence[Contender],
    terms: Terms,
    searches: Sequence[Search],
    references: Sequence[str],
    checklist: Mapping[str, Any],
) -> Figures:
    """Everything that is reported, fit for JSON; the searches in any order.

    references: controllers that all others are tested against.
    """
    groups = {one.typed: [s for s in searches if s.controller == one.typed] for one in contenders}
    found = report.figures(
        groups, references, terms.budget, terms.seconds,
        timed=bool(table.seconds), optimum=table.optimum, networks=len(table),
    )  # fmt: skip
    for contender in contenders:
        found["controllers"][contender.typed]["parameters"] = _parameters(contender)
    seeds = sorted({one.seed for one in searches})
    return found | {
        "name": table.name,
        "about": _about(table),
        "axes": {"result": "result of the chosen network", "seconds": "simulated seconds"},
        "table": _table(table),
        "terms": _terms(terms),
        "notes": _notes(table, terms, contenders, seeds),
        "conditions": _conditions(table),
        "checklist": dict(checklist),
    }


def _parameters(contender: Contender) -> dict[str, Any]:
    """All of a controller's parameters, those of its defaults too."""
    kind: Any
    kind, given = contender.made()
    return {name: parameter.default for name, parameter in names.parameters(kind, 3).items()} | given


def _about(table: Table) -> str:
    return (
        f"Result of the chosen network ({table.result}), which is the one with the highest reward ({_seen(table)}); "
        f"the search sees nothing else. The table's optimum is {table.optimum:.4f}, its highest reward is worth "
        f"{table.best_reward_result:.4f}."
    )


def _seen(table: Table) -> str:
    """What the search sees, in words."""
    return f"{table.reward}{' / 100' * table.percent}"


def _table(table: Table) -> Figures:
    return {
        "name": table.name,
        "file": table.path.name,
        "sha256": table.sha256,
        "networks": len(table),
        "reward": table.reward,
        "divided_by": 100 if table.percent else 1,  # to make the reward
        "result": table.result,
        "seconds": table.seconds,
        "optimum": table.optimum,
        "result_of_the_highest_reward": table.best_reward_result,
    }


def _terms(terms: Terms) -> Figures:
    return {
        "budget": terms.budget,
        "simulated_seconds": terms.seconds if terms.seconds < math.inf else None,
        "window": terms.window,
        "fail": terms.fail,
        "length": terms.length,
        "patience": terms.patience,
    }


def _notes(table: Table, terms: Terms, contenders: Sequence[Contender], seeds: Sequence[int]) -> list[str]:
    """What a reader must know to take the figures as what they are."""
    notes = [
        f"{contender.typed} has the first {contender.seeds} of the {len(seeds)} seeds; tests pair seeds that both have."
        for contender in contenders
        if contender.seeds < len(seeds)
    ]
    if len(seeds) == 1:
        notes.append("One seed: there are no deviations, intervals and tests. Give --seeds 20 or more.")
    if terms.budget > len(table):
        notes.append(
            f"The budget of {terms.budget:,} is larger than the table: a search ends when all {len(table):,} networks "
            f"are known, or after {terms.patience:,} repeats in a row."
        )
    if table.seconds:
        notes.append(f"Simulated seconds are {table.seconds}.")
    if terms.seconds < math.inf:
        notes.append("Simulated seconds are summed over all evaluations, as if one device trained one after the other.")
    if terms.window > 1:
        notes.append("With a window all evaluations last equally long, so trials are asked and told by the windowful.")
    return notes


def _conditions(table: Table) -> dict[str, str]:
    return {
        "search space and training": f"{table.name}, {len(table):,} networks, the same table for all",
        "table": f"{table.path.name}, SHA-256 {table.sha256 or 'not taken of a folder'}",
        "the search sees": _seen(table),
        "it is judged by": table.result,
        "baseline": "random search, the same seeds",
        "ms a trial": f"without the first {WARM} where there are over {2 * WARM}, for these import libraries",
    }
