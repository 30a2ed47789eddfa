"""Controllers side by side on real children: ledgers of searches with equal budgets.

A budget is a number of different networks trained, failed ones among them. Repeats cost nothing, so that equal numbers
of trials would give less training to who repeats more. The first networks are those of the first trials' numbers, an
order that no machine changes.

A ledger knows validation images only: the network that a search chooses is that of its highest reward, the first of
several, and what is compared is its validation accuracy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas import ledger, names, plot, report
from nas.errors import UserError, near
from nas.ledger import MACHINE, Trial
from nas.preset import PRESETS
from nas.report import Figures, pairs
from nas.reward import UNBOUND

SAME = (
    "space", "choices", "data", "training", "validation", "fingerprint", "recipe", "reward", "threads", "child_timeout",
    *UNBOUND.every,
)  # fmt: skip
RANDOM = "RandomSearch"  # as headers name the controller that all others are tested against
SETTLED = 100  # repeats at its end by which a search shows that it has nothing new
FEW = 10  # seeds: with fewer, less than 90 % of the intervals hold the mean they are of, if results are normal

Groups = dict[str, list[plot.Search]]  # by what a controller is called, its searches by seed


def compare(
    folders: Iterable[Path], budget: int | None = None, against: Sequence[str] = (), command: str = ""
) -> Figures:
    """Everything that is reported of these ledgers, fit for `report.write`.

    budget: different networks, to which each search is cut; what all have unless given.  against: controllers as they
    are called here, that all others are tested against besides random search.  command: as it was typed.
    Raises UserError if the searches differ in one of SAME, or in their budgets; what else differs is in the notes.
    """
    groups = grouped(folders)
    wanted = equal_budget(groups, budget)
    found = figures(groups, wanted, _references(groups, against))
    wall = sum(of["wall_seconds"] for of in found["controllers"].values())
    return found | {"checklist": report.checklist(command, wall)}


def figures(groups: Groups, budget: int, references: Sequence[str]) -> Figures:
    """All of it but the checklist."""
    searches = {name: [searched(name, one, budget) for one in group] for name, group in groups.items()}
    found = report.figures(searches, references, budget)
    for name, group in groups.items():
        found["controllers"][name]["parameters"] = group[0][1]["parameters"]
    _, header, _ = next(iter(groups.values()))[0]
    return found | {
        "name": plot.title([{**header, "controller": other, "seed": other} for other in (0, 1)]),
        "about": _about(header),
        "axes": {"result": "validation accuracy of the chosen network, %", "seconds": "seconds of training"},
        "terms": {"different networks": budget},
        "notes": [*_notes(groups, budget), *report.without_results(searches)],
        "conditions": _conditions(header, groups),
    }


def grouped(folders: Iterable[Path]) -> Groups:
    """The searches by controller, those together that differ in the seed only; random search first.

    Raises UserError for ledgers that cannot be compared.
    """
    once = {folder.resolve(): folder for folder in folders}.values()  # whatever names it is given by
    searches: list[plot.Search] = [(folder, *ledger.read(folder)) for folder in once]
    _check_same(searches)
    groups = plot.grouped(searches)
    groups.sort(key=lambda group: group[0][1]["controller"] != RANDOM)
    called = _called([group[0][1] for group in groups])
    return {
        name: sorted(group, key=lambda search: search[1]["seed"]) for name, group in zip(called, groups, strict=True)
    }


def equal_budget(groups: Groups, budget: int | None) -> int:
    """How many different networks each search is compared by; raises UserError for one that has trained fewer."""
    searches = [search for group in groups.values() for search in group]
    counts = {folder: len(trained(trials)) for folder, _, trials in searches}
    wanted = max(1, *counts.values()) if budget is None else budget
    short = [folder for folder, _, trials in searches if counts[folder] < wanted and not _settled(trials)]
    if short:
        least = min(counts[folder] for folder in short)
        cut = f", or compare all by their first {least} with --budget {least}" if least else ""
        raise UserError(
            f"{_listed(f'{folder} ({counts[folder]})' for folder in short)}: found searches with fewer different "
            f"networks trained than {wanted}, expected equal budgets; search on with --unique {wanted} "
            f"and more --trials{cut}"
        )
    return wanted


def searched(name: str, search: plot.Search, budget: int) -> report.Search:
    """A search as far as its budget goes; a failed network has no accuracy."""
    _, header, trials = search
    whole = _whole(trials)
    new = trained(trials)[:budget]
    last = whole if len(new) < budget else whole[: new[-1].trial + 1]
    results = [trial.result for trial in new]
    return report.Search(
        name,
        header["seed"],
        np.array([trial.reward for trial in new], float),
        np.array([100 * one.accuracy[-1] if one and one.accuracy else math.nan for one in results]),
        np.array([one.seconds if one else 0.0 for one in results]),
        len(last),
        sum(trial.same_as is not None for trial in last),
        math.nan,
        max(trial.at for trial in last),
        f"{len(new):,} networks are trained" if len(new) == budget else "the last trials were all repeats",
    )


def trained(trials: Iterable[Trial]) -> list[Trial]:
    """One trial for each different network that was trained, failed ones too, by number, as far as none is missing."""
    return [trial for trial in _whole(trials) if trial.trained]


def _whole(trials: Iterable[Trial]) -> list[Trial]:
    """By number, up to the first that has not finished."""
    numbered = sorted(trials, key=lambda trial: trial.trial)
    return [trial for number, trial in enumerate(numbered) if trial.trial == number]


def _settled(trials: Sequence[Trial]) -> bool:
    """Whether it ended because it had nothing new."""
    last = _whole(trials)[-SETTLED:]
    return len(last) == SETTLED and all(trial.same_as is not None for trial in last) and bool(trained(trials))


def _check_same(searches: Sequence[plot.Search]) -> None:
    """Raise UserError unless all searches have the same conditions."""
    first, expected, _ = searches[0]
    for folder, header, _ in searches[1:]:
        here, there = ({name: of.get(name) for name in SAME} for of in (expected, header))
        if here != there:
            wanted, found = plot.labels([here, there])
            raise UserError(
                f"{folder}: found {found}, expected {wanted} as in {first}; "
                "compare searches of the same space, data, validation images, recipe and reward"
            )


def _called(headers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each controller is called: as it is typed, with what tells it from others of its class; no two alike."""
    called = []
    for header in headers:
        alike = [other for other in headers if other["controller"] == header["controller"]]
        name, own = _typed(header)
        if len(alike) > 1:
            own = plot.labels(alike)[alike.index(header)]
        called.append(f"{name} ({own})" if own else name)
    return [name if called.count(name) == 1 else f"{name} {place}" for place, name in enumerate(called, 1)]


def _typed(header: Mapping[str, Any]) -> tuple[str, str]:
    """How a controller is typed, or the preset whose parameters it has; and what of these is not its defaults."""
    kinds = {kind.__name__: (name, kind) for name, kind in names.controllers().items()}
    if header["controller"] not in kinds:
        return header["controller"], ""
    name, kind = kinds[header["controller"]]
    given = header["parameters"]
    for preset, of in PRESETS.items():
        if of.controller == name and of.parameters == given:
            return preset, ""
    defaults = {one: parameter.default for one, parameter in names.parameters(kind, 3).items()}
    return name, ", ".join(f"{one} {value}" for one, value in given.items() if value != defaults.get(one))


def baselines(groups: Groups) -> list[str]:
    """The random searches among them."""
    return [name for name, group in groups.items() if group[0][1]["controller"] == RANDOM]


def _references(groups: Groups, against: Sequence[str]) -> list[str]:
    for name in against:
        if name not in groups:
            raise UserError(f"--against: found {name!r}{near(name, groups)}, expected one of {'; '.join(groups)}")
    return list(dict.fromkeys([*baselines(groups), *against]))


# --- in words ---


def _about(header: Mapping[str, Any]) -> str:
    return (
        f"Validation accuracy, in percent, of the chosen network, which is the one with the highest reward "
        f"({header['reward']}). The same {header['validation']:,} validation images choose it and judge it, so that "
        "it is higher than on new images; no search has touched test images."
    )


def _notes(groups: Groups, budget: int) -> list[str]:
    """What a reader must know to take the figures as what they are."""
    notes = _notes_on_seeds(groups)
    if not baselines(groups):
        notes.append("No random search is among them, so nothing is tested against it. Add some: --controller random.")
    for what in ("window", "length", "limits", "stop"):
        of = _by_name(groups, what)
        if len({repr(value) for value in of.values()}) > 1:
            notes.append(f"The {what} is not the same for all searches: {pairs(of)}.")
    other = [name for name in MACHINE if len(_records(groups, name)) > 1]
    if other:
        notes.append(
            f"Not all searches were begun with the same {' and '.join(other)}: seconds are not of one kind, and equal "
            "networks may differ in their last digits. The report's last table says which are which."
        )
    ended = [str(folder) for group in groups.values() for folder, _, t in group if len(trained(t)) < budget]
    if ended:
        notes.append(
            f"{_listed(ended)} ended before {budget:,} networks, with {SETTLED} repeats in a row or more; what was "
            "chosen until then counts."
        )
    return notes


def _notes_on_seeds(groups: Groups) -> list[str]:
    seeds = {name: [header["seed"] for _, header, _ in group] for name, group in groups.items()}
    notes = on_few_seeds({name: len(own) for name, own in seeds.items()})
    if any(own != next(iter(seeds.values())) for own in seeds.values()):
        notes.append("Seeds are not the same for all: means are over each controller's own, tests over common ones.")
    return notes


def on_few_seeds(seeds: Mapping[str, int]) -> list[str]:
    """Notes on controllers whose seeds are too few for what is said of them; seeds: how many each has."""
    single = [name for name, count in seeds.items() if count == 1]
    few = [name for name, count in seeds.items() if 1 < count < FEW]
    notes = []
    if single:
        which = "" if len(single) == len(seeds) else f" of {_listed(single)}"
        notes.append(f"One seed{which}: there are no deviations, intervals and tests. Search with {FEW} seeds or more.")
    if few:
        which = "" if len(few) == len(seeds) else f" of {_listed(few)}"
        notes.append(
            f"Fewer than {FEW} seeds{which}: 95 % intervals of so few are too narrow, of two seeds they hold the true "
            f"mean about half the time. Search with {FEW} seeds or more."
        )
    return notes


def _by_name(groups: Groups, field: str) -> dict[str, Any]:
    return {name: group[0][1].get(field) for name, group in groups.items()}


def _conditions(header: Mapping[str, Any], groups: Groups) -> dict[str, str]:
    """What all searches share, as their headers have it."""
    split = f"{header['training']:,} images to train on, {header['validation']:,} for validation"
    limit = header["child_timeout"]
    return {
        "search space": f"{header['space']}: {pairs({n: '/'.join(c) for n, c in header['choices'].items()})}",
        "data": f"{header['data']}, {split}, fingerprint {header['fingerprint']}",
        "training": pairs(header["recipe"]),
        "a child has": f"{header['threads']} thread, {'no time limit' if limit is None else f'{limit:g} s at most'}",
        "bounds on costs": pairs({name: header.get(name) for name in UNBOUND.every}),
        "the search sees": f"{header['reward']} on the validation images",
        "it is judged by": "accuracy on the same validation images after the last epoch",
        "window, trials under way at once": pairs(_by_name(groups, "window")),
        "length, trials of a schedule": pairs(_by_name(groups, "length")),
        "limits": pairs({name: limits or "none" for name, limits in _by_name(groups, "limits").items()}),
        "children stop by": pairs({name: rule or "no rule" for name, rule in _by_name(groups, "stop").items()}),
        "baseline": " and ".join(baselines(groups)) or "none",
        **{f"{name}, of searches": _recorded(groups, name) for name in MACHINE},
        "hardware is that of": "this comparison",
        "wall time is that of": "all searches together, interruptions left out",
    }


def _records(groups: Groups, name: str) -> dict[str, list[str]]:
    """What the searches were begun with -> their folders."""
    found: dict[str, list[str]] = {}
    for folder, header, _ in itertools.chain.from_iterable(groups.values()):
        value = header.get(name, "not recorded")
        text = pairs(value) if isinstance(value, Mapping) else str(value or "none")
        found.setdefault(text, []).append(str(folder))
    return found


def _recorded(groups: Groups, name: str) -> str:
    """In words; with folders where searches differ."""
    found = _records(groups, name)
    return next(iter(found)) if len(found) == 1 else "; ".join(f"{text}: {', '.join(of)}" for text, of in found.items())


def _listed(texts: Iterable[str], most: int = 5) -> str:
    """The first few, and how many more there are."""
    every = list(texts)
    return ", ".join(every[:most]) + f" and {len(every) - most} more" * (len(every) > most)
