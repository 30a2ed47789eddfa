"""What a comparison on a table says: the figures of `nas/report.py`, and what they are of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas import names, report
from nas.compare import on_few_seeds
from nas.report import Figures, Search
from nas.reward import accuracy

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
        timed=bool(table.seconds), optimum=table.optimum, networks=len(table), highest=table.highest_reward,
    )  # fmt: skip
    for contender in contenders:
        found["controllers"][contender.typed]["parameters"] = _parameters(contender)
    return found | {
        "name": table.name,
        "about": _about(table),
        "axes": {"result": "result of the chosen network", "seconds": "simulated seconds"},
        "table": _table(table),
        "terms": _terms(terms),
        "notes": [
            *_notes_on_seeds(contenders, groups),
            *report.without_results(groups),
            *_notes_on_rewards(table, contenders),
            *_notes_on_terms(table, terms),
        ],
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
        f"Result of the chosen network ({table.result}), which is the one with the highest reward ({table.reward}); "
        f"the search sees nothing else. The table's optimum is {table.optimum:.4f}, its highest reward is worth "
        f"{table.best_reward_result:.4f}."
    )


def _table(table: Table) -> Figures:
    return {
        "name": table.name,
        "file": table.path.name if table.path else None,
        "sha256": table.sha256 or None,
        "networks": len(table),
        "reward": table.reward,
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


def _notes_on_seeds(contenders: Sequence[Contender], groups: Mapping[str, Sequence[Search]]) -> list[str]:
    most = max(map(len, groups.values()))
    notes = [
        f"{contender.typed} has the first {contender.seeds} of the {most} seeds; tests pair seeds that both have."
        for contender in contenders
        if contender.seeds < most
    ]
    return notes + on_few_seeds({name: len(group) for name, group in groups.items()})


def _notes_on_rewards(table: Table, contenders: Sequence[Contender]) -> list[str]:
    """What controllers are told or can make of a table that is not what their names lead one to expect."""
    told = [
        f"{contender.typed} is told the preset's reward: {contender.reward.__name__}, of what the table has."
        for contender in contenders
        if contender.reward is not accuracy
    ]
    if any(not isinstance(choice.options[0], str) for choice in table.space.positions):
        return told
    return told + [
        f"{contender.typed} answers at random: CMA-ES models numbers alone, and no option of this table is one."
        for contender in contenders
        if contender.made()[1].get("sampler") == "cmaes"
    ]


def _notes_on_terms(table: Table, terms: Terms) -> list[str]:
    notes = []
    larger = terms.budget > len(table)
    if larger or (terms.budget == len(table) and terms.seconds == math.inf):
        known = f"{report.every(len(table))} {'is' if len(table) == 1 else 'are'} known"
        notes.append(
            f"The budget of {terms.budget:,} is {'larger than' if larger else 'all of'} the table: a search ends when "
            f"{known}, or after {terms.patience:,} repeats in a row."
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
        "search space and training": f"{table.name}, {report.counted(len(table), 'network')}, the same table for all",
        "table": table.source,
        "the search sees": table.reward,
        "it is judged by": table.result,
        "baseline": "random search, the same seeds",
        "ms a trial": f"without the first {WARM} where there are over {2 * WARM}, for these import libraries",
    }
