"""Pictures of ledgers: rewards and health over the trials, and accuracy against cost, of one search or of several.

First what is drawn, as functions of plain numbers and headers, then how. Matplotlib is imported where it is needed, and
only its objects are used: no pyplot, no window, no state that another thread could meet.
"""

from __future__ import annotations

import itertools
import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas import health, recorded
from nas.errors import UserError, near, plain
from nas.ledger import RECORDS, Trial, read
from nas.recipe import named
from nas.reward import COSTS
from nas.space import Space, shorten
from nas.statistics import Floats
from nas.summary import FORETOLD, best, front, kinds, lacking, random_rewards, smallest, standard_error, whole
from nas.whole import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Header = Mapping[str, Any]
Search = tuple[Path, Header, Sequence[Trial]]
Entries = list[tuple[str, Any]]  # of a legend: what it says of which artist, or tuple of artists

# What each format would write beside the picture and must not, so that equal ledgers give equal pictures.
FORMATS: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}

# The first seven: Okabe & Ito 2008, told apart by the colour-blind too, without their yellow, which is faint on white.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000",
    "#882255", "#999933", "#6A3D9A", "#8B5A2B",
)  # fmt: skip
GREY = "#666666"
MARKERS = ("", "o", "s", "^", "D")  # for the first eleven groups, the next eleven, ...

ACROSS = 124  # letters that a legend has room for, a handle taking nine
LONGEST = 200  # letters of what a group is called
FEW = 5  # seeds of which quantiles say more than the extremes

# What health is called in pictures; in between stand the controller's own figures by their names.
REPEATS = f"repeats among the last {health.LAST}"
SPREAD = f"spread of the last {health.LAST} rewards"
ADVANTAGE = "advantage over random sampling"
WITHOUT = f"trial\n({ADVANTAGE}: shown from {FORETOLD} networks on, where the space can be built again)"
OF_HEALTH = {REPEATS: COLOURS[2], SPREAD: COLOURS[4], ADVANTAGE: COLOURS[5]}  # none is a colour of rewards

# Fields of a header that say no more than another one where that differs too.
FOLLOWS = {
    "choices": {"space"},
    "training": {"data"},
    "validation": {"data", "training"},
    "fingerprint": {"data", "training"},
}


PICTURES = ("rewards", "health", "pareto")


def plot(folders: Sequence[Path], out: Path, what: str = "", space: Space | None = None, cost: str = "madds") -> None:
    """Draw these searches to `out`: PNG, SVG or PDF by its suffix, whole or not at all.

    Rewards of one search: its trials, their running mean, the best so far. Of several: those that differ in the seed
    alone are one group with one colour, drawn as its mean with a band. Health: repeats, what the controller says of
    itself, the spread of rewards, the advantage over random sampling, and in words what is wrong. Pareto: validation
    accuracy against a cost, one of `nas.reward.COSTS`, with the front of each group.
    what: "rewards", "health" or "pareto"; empty for the first two of one search, and for the rewards of several.
    space: the searches' own, on their data; unless given, a built-in one is found by the ledger's header.
    Raises UserError if a search has no reward, or no such cost, if rewards are of several kinds, or if `out` cannot be
    written.
    """
    suffix = _suffix(out)
    if what not in ("", *PICTURES):
        mend = near(what, PICTURES)
        raise UserError(
            f"--what: found {what!r}{mend}, expected rewards, health or pareto; leave it out for the usual picture"
        )
    searches: list[Search] = [(folder, *read(folder)) for folder in _once(folders)]
    _check(searches, one_axis=what != "pareto")
    if what == "pareto":
        figure, entries = _picture_of_fronts(grouped(searches), cost)
    elif len(searches) == 1:
        figure, entries = _picture_of_one(searches[0], what, space)
    else:
        figure, entries = _picture_of_groups(grouped(searches), what, space)
    _legend(figure, entries)
    _save(figure, out, suffix)


# --- what is drawn ---


def by_number(trials: Iterable[Trial]) -> list[float | None]:
    """Rewards by the trial's number, whatever the order of finishing; None: failed, or not finished."""
    rewards = {trial.trial: trial.reward for trial in trials}
    return [rewards.get(number) for number in range(max(rewards, default=-1) + 1)]


def window_of(trials: int) -> int:
    """How many trials a running mean is over, in a picture of so many."""
    return max(10, trials // 10)


def running_mean(rewards: Sequence[float | None], window: int) -> Floats:
    """At each trial the mean reward of the last `window` trials, itself among them; NaN where all of them failed.

    The first trials have fewer behind them: theirs is the mean of those.
    """
    values = np.array(rewards, float)
    there = np.isfinite(values)
    sums = np.concatenate([[0.0], np.where(there, values, 0.0).cumsum()])
    counts = np.concatenate([[0], there.cumsum()])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - window, 0)
    found = counts[last] - counts[first]
    return np.where(found > 0, (sums[last] - sums[first]) / np.maximum(found, 1), np.nan)


def best_so_far(rewards: Sequence[float | None]) -> Floats:
    """At each trial the highest reward until then, its own included; NaN before the first reward."""
    return np.fmax.accumulate(np.array(rewards, float))


def band(curves: Floats) -> tuple[Floats, Floats]:
    """Of curves (seeds, trials), at each trial: lowest and highest, or from five seeds on the 10 and 90 % quantiles.

    NaN where a seed has no value.
    """
    if len(curves) < FEW:
        return curves.min(0), curves.max(0)
    low, high = np.quantile(curves, [0.1, 0.9], axis=0)
    return low, high


def grouped(searches: Sequence[Search]) -> list[list[Search]]:
    """The searches whose headers are equal but for seed and records, together; in the order of their first.

    Raises UserError if two of a group have the same seed: a search and its copy are no two seeds.
    """
    groups: dict[str, dict[int, Search]] = {}
    for search in searches:
        folder, header, _ = search
        kind = json.dumps({**header, **dict.fromkeys(("seed", *RECORDS))}, sort_keys=True)
        other = groups.setdefault(kind, {}).setdefault(header["seed"], search)
        if other is not search:
            raise UserError(
                f"{folder}: found the search of {other[0]} with the same seed {header['seed']}, "
                "expected searches that differ in something; leave one out"
            )
    return [list(group.values()) for group in groups.values()]


def aligned(group: Sequence[Search]) -> list[list[float | None]]:
    """The rewards of each search of a group, as far as all of them go."""
    rewards = [by_number(trials) for _, _, trials in group]
    shortest = min(map(len, rewards))
    return [one[:shortest] for one in rewards]


def labels(headers: Sequence[Header]) -> list[str]:
    """For each header what it does not share with all others, seed and records aside: "Reinforce, rate 0.01".

    The code of one's own, which is checksums, is named only where nothing else tells two apart: "other code".
    """
    flat = [_leaves({**header, "sources": None}) for header in _with_few_fields(headers)]
    paths = dict.fromkeys(path for leaves in flat for path in leaves if path[0] not in ("seed", *RECORDS))
    differing = [path for path in paths if len({repr(leaves.get(path, "-")) for leaves in flat}) > 1]
    fields = {path[0] for path in differing}
    said = [
        path for path in differing if not FOLLOWS.get(path[0], set()) & fields and not _of_controller(path, headers)
    ]
    texts = [", ".join(_said(path, leaves[path]) for path in said if path in leaves) for leaves in flat]
    whole = [", ".join(filter(None, both)) for both in zip(texts, _other_code(texts, headers), strict=True)]
    return [shorten(text, LONGEST) or "defaults" for text in whole]


def _other_code(texts: Sequence[str], headers: Sequence[Header]) -> Iterator[str]:
    """For each header "other code" where one before has the same text and other sources, counted from the third on."""
    met: dict[str, list[object]] = {}
    for text, header in zip(texts, headers, strict=True):
        codes, code = met.setdefault(text, []), header.get("sources") or {}
        if code not in codes:
            codes.append(code)
        number = codes.index(code)
        yield "" if not number else "other code" if number == 1 else f"other code {number}"


def _with_few_fields(headers: Sequence[Header]) -> list[Header]:
    """The headers, their recipes by name where these differ in more than two fields."""
    recipes = [header.get("recipe") or {} for header in headers]
    differing = [field for field in recipes[0] if len({repr(recipe.get(field)) for recipe in recipes}) > 1]
    if len(differing) <= 2:
        return list(headers)
    return [{**header, "recipe": named(recipe)} for header, recipe in zip(headers, recipes, strict=True)]


def _of_controller(path: tuple[str, ...], headers: Sequence[Header]) -> bool:
    """Whether a field is a parameter that differs with the controller alone, and so says no more than that does."""
    if path[0] != "parameters":
        return False
    found = {(header.get("controller"), repr(header.get("parameters", {}).get(path[-1]))) for header in headers}
    return len(found) == len({controller for controller, _ in found})


def band_captions(counts: Sequence[int]) -> list[str]:
    """What the band is, for groups of so many seeds; nothing where no group has several."""
    few = any(1 < count < FEW for count in counts)
    many = any(count >= FEW for count in counts)
    if few and many:
        return [f"lowest to highest seed (10–90 % of {FEW} or more)"]
    return ["lowest to highest seed"] * few + ["10–90 % of the seeds"] * many


def title(headers: Sequence[Header]) -> str:
    """Space, controller, data and seed, each as far as all headers agree on it."""
    names = [("space",), ("controller",), ("data",), ("seed",)]
    shared = [path for path in names if len({repr(header[path[0]]) for header in headers}) == 1]
    return shorten(" · ".join(_said(path, headers[0][path[0]]) for path in shared), 90)


def numbered(ordered: Sequence[Trial], values: Floats) -> Floats:
    """One value a finished trial as one value a trial number; NaN at those that are not finished."""
    placed = np.full(ordered[-1].trial + 1, np.nan)
    placed[[trial.trial for trial in ordered]] = values
    return placed


def curves_of_health(trials: Sequence[Trial], drawn: Floats | None) -> dict[str, Floats]:
    """By what each is called, one value a trial number; drawn: rewards of random networks, None where unknown."""
    ordered = health.in_order(trials)
    curves = {REPEATS: health.repeats(ordered), **health.figures(ordered), SPREAD: health.spread(ordered)}
    if drawn is not None:
        curves[ADVANTAGE] = health.advantage(ordered, drawn)
    return {name: numbered(ordered, values) for name, values in curves.items()}


def panels_of(curves: Iterable[Mapping[str, Floats]]) -> list[str]:
    """What all these curves show, each once: repeats, what controllers say of themselves, spread, advantage."""
    found = list(dict.fromkeys(name for one in curves for name in one))
    ends = [name for name in (SPREAD, ADVANTAGE) if name in found]
    return [name for name in found if name not in ends] + ends


def verdicts(
    called: Sequence[str],
    groups: Sequence[Sequence[Search]],
    spaces: Mapping[Path, Space | None],
    drawn: Mapping[Path, Floats | None],
) -> list[str]:
    """Of each group what is wrong with how many of its searches: "Reinforce: 2 of 5 collapsed to a few networks"."""
    said = []
    for name, group in zip(called, groups, strict=True):
        found = [
            health.verdict(trials, header["length"], spaces[folder], drawn[folder]) for folder, header, trials in group
        ]
        shorts = [one.short for one in found if one]
        for short in dict.fromkeys(shorts):
            count = f"{shorts.count(short)} of {len(group)} " if len(group) > 1 else ""
            said.append(f"{name}: {count}{short}" if name else f"{count}{short}")
    return said


def _leaves(header: Header, within: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """{("parameters", "rate"): 0.01} of {"parameters": {"rate": 0.01}}."""
    leaves: dict[tuple[str, ...], Any] = {}
    for name, value in header.items():
        leaves |= _leaves(value, (*within, name)) if isinstance(value, Mapping) else {(*within, name): value}
    return leaves


def _said(path: tuple[str, ...], value: object) -> str:
    """A field of the header for a reader: "Chain", "rate 0.01", "recipe epochs 5"."""
    text = shorten(str(value).removesuffix("()"), 40)
    if path in (("space",), ("controller",), ("data",)):
        return text
    named = path[1:] if path[0] == "parameters" else path
    return f"{' '.join(named).replace('_', ' ')} {text}"


def _once(folders: Sequence[Path]) -> list[Path]:
    """A folder given twice, under whatever name, is one search."""
    return list({folder.resolve(): folder for folder in folders}.values())


def _check(searches: Sequence[Search], one_axis: bool) -> None:
    """Raise UserError if the searches cannot stand on one reward axis, or one of them has nothing to show there."""
    first, expected, _ = searches[0]
    for folder, header, trials in searches:
        if one_axis and header["reward"] != expected["reward"]:
            raise UserError(
                f"{folder}: found the reward {header['reward']}, expected {expected['reward']} as in {first}; "
                "they cannot share an axis: plot them apart"
            )
        if all(trial.reward is None for trial in trials):
            raise UserError(
                f"{folder}: found no reward in {len(trials)} finished trials, expected one at least; "
                f"{health.mend(trials)}"
            )


# --- how it is drawn ---


def _picture_of_one(search: Search, what: str, space: Space | None) -> tuple[Figure, Entries]:
    """The panels of one search: rewards, shares, spread and advantage."""
    _, header, trials = search
    known = space or recorded.space(header, trials)
    drawn = None if what == "rewards" else _drawn(known, trials)
    curves = {} if what == "rewards" else curves_of_health(trials, drawn)
    below = [1.6] + [1.2] * (ADVANTAGE in curves) + [1.2] if curves else []
    figure, panels = _page(below if what == "health" else [3.6 if curves else 5, *below])
    panels[0].set_title(_plain(title([header])))
    entries = [] if what == "health" else _draw_one(panels[0], header, trials)
    if curves:
        entries += _draw_health(panels[-len(below) :], curves)
        found = health.verdict(trials, header["length"], known, drawn)
        _say(figure, [found.sentence] if found else [])
    return figure, entries


def _picture_of_groups(groups: Sequence[Sequence[Search]], what: str, space: Space | None) -> tuple[Figure, Entries]:
    """The panels of several searches: their rewards, or one for each measure of health."""
    everyone = [search for group in groups for search in group]
    names = labels([group[0][1] for group in groups]) if len(groups) > 1 else [""]
    if what != "health":
        figure, panels = _page([5])
        entries = _draw_groups(panels[0], groups, names)
    else:
        spaces = {folder: space or recorded.space(header, trials) for folder, header, trials in everyone}
        drawn = {folder: _drawn(spaces[folder], trials) for folder, _, trials in everyone}
        curves = {folder: curves_of_health(trials, drawn[folder]) for folder, _, trials in everyone}
        measures = panels_of(curves.values())
        figure, panels = _page([1.7] * len(measures))
        entries = _draw_measures(dict(zip(measures, panels, strict=True)), groups, names, curves)
        _say(figure, verdicts(names, groups, spaces, drawn))
    panels[0].set_title(_plain(title([header for _, header, _ in everyone])))
    return figure, entries


def _picture_of_fronts(groups: Sequence[Sequence[Search]], cost: str) -> tuple[Figure, Entries]:
    """Accuracy against a cost: of each group all networks, and the front of all its seeds."""
    everyone = [search for group in groups for search in group]
    names = labels([group[0][1] for group in groups]) if len(groups) > 1 else [""]
    figure, (axes,) = _page([5])
    axes.set_title(_plain(title([header for _, header, _ in everyone])))
    axes.set_ylabel("validation accuracy")
    axes.set_xlabel(f"{COSTS[cost]} ({cost})" if cost in ("latency", "memory") else COSTS[cost])
    entries: Entries = []
    for number, (name, group) in enumerate(zip(names, groups, strict=True)):
        entries += _draw_front(axes, group, cost, number, name)
    if len(everyone) == 1:
        entries += _draw_smallest(axes, everyone[0], cost)
    if axes.dataLim.x0 > 0:
        _logarithmic(axes, cost)
    return figure, entries


def _logarithmic(axes: Axes, cost: str) -> None:
    """Powers of ten for counts; milliseconds as they are: 0.5, 1, 2, 5."""
    from matplotlib.ticker import FuncFormatter

    axes.set_xscale("log")
    if cost == "latency":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""))


def _draw_front(axes: Axes, group: Sequence[Search], cost: str, number: int, name: str) -> Entries:
    """All networks of a group of this number as dots, those that no other beats joined by steps."""
    for folder, _, trials in group:
        if not whole(trials, cost):
            raise lacking(folder, cost)
    every = [trial for _, _, trials in group for trial in trials]
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[1:][number // len(COLOURS) % len(MARKERS[1:])]
    known, ahead = whole(every, cost), front(every, cost)
    size = min(4.5, max(1.5, 100 / math.sqrt(len(known))))
    x, y = _at(known, cost)
    (dots,) = axes.plot(x, y, marker, color=colour, alpha=0.3, markersize=size, markeredgewidth=0)
    x, y = _at(ahead, cost)
    (steps,) = axes.plot(x, y, color=colour, marker=marker, markersize=5, linewidth=1.8, drawstyle="steps-post")
    if name:
        return [(f"{_counted(name, len(group))}: {len(ahead)} of {len(known):,} on its Pareto front", (dots, steps))]
    return [(f"network ({len(known):,})", dots), (f"Pareto front ({len(ahead)})", steps)]


def _draw_smallest(axes: Axes, search: Search, cost: str) -> Entries:
    """The best network, a line one standard error below it, and the smallest network above that."""
    _, header, trials = search
    (first,) = whole(best(trials, 1), cost) or (None,)
    found = smallest(trials, header["validation"])
    if first is None or found is None or not whole([found], cost):
        return []
    (x,), (y,) = _at([first], cost)
    line = axes.axhline(y - standard_error(y, header["validation"]), color=GREY, linewidth=1, linestyle=":")
    (star,) = axes.plot(x, y, "*", color=COLOURS[1], markersize=13, linestyle="", zorder=4)
    (ring,) = axes.plot(*_at([found], cost), "o", color=COLOURS[1], markersize=11, markerfacecolor="none", zorder=4)
    said = f"fewest parameters above that line (trial {found.trial})"
    return [
        (f"highest reward (trial {first.trial})", star),
        ("one standard error of its accuracy below that", line),
        (said, ring),
    ]


def _at(trials: Sequence[Trial], cost: str) -> tuple[list[float], list[float]]:
    """Costs and accuracies."""
    results = [trial.result for trial in trials if trial.result]
    return [result.cost(cost) or 0.0 for result in results], [result.accuracy[-1] for result in results]


def _draw_one(axes: Axes, header: Header, trials: Sequence[Trial]) -> Entries:
    """Every trial, the running mean, the best so far."""
    mean, best, pale = COLOURS[0], COLOURS[1], "#8FB8D4"
    rewards = by_number(trials)
    window = window_of(len(rewards))
    axes.set_ylabel(_reward(header))
    size = min(4.5, max(1.5, 100 / math.sqrt(len(rewards))))
    style: dict[str, dict[str, Any]] = {
        "trained": {"marker": "o", "markersize": size, "color": pale},
        "stopped": {"marker": "v", "markersize": size, "color": pale},
        "repeat": {"marker": "o", "markersize": size, "color": pale, "markerfacecolor": "white"},
        "failed": {"color": "#555555"}, "refused": {"color": COLOURS[5]},
    }  # fmt: skip
    entries = [entry for kind, of in kinds(trials).items() for entry in _dots(axes, kind, of, style[kind])]
    numbers = range(len(rewards))
    (line,) = axes.plot(numbers, running_mean(rewards, window), color=mean, linewidth=2.2)
    (steps,) = axes.plot(numbers, best_so_far(rewards), color=best, linewidth=1.8, drawstyle="steps-post")
    return [*entries, (f"mean of the last {window} trials", line), ("best so far", steps)]


def _dots(axes: Axes, what: str, trials: Sequence[Trial], style: Mapping[str, Any]) -> Entries:
    """One mark a trial, those without a reward as ticks on the edge; the legend says how many, of none nothing."""
    if not trials:
        return []
    with_reward = {t.trial: t.reward for t in trials if t.reward is not None}
    without = {t.trial: 0.017 for t in trials if t.reward is None}  # of the axes' height: ticks that stand on its edge
    tick = {"marker": "|", "markersize": 8, "color": style["color"], "transform": axes.get_xaxis_transform()}
    drawn = [
        axes.plot(list(points), list(points.values()), linestyle="", clip_on=False, **how)[0]
        for points, how in ((with_reward, style), (without, tick))
        if points
    ]
    return [(f"{what} ({len(trials):,})", drawn[0])]


def _draw_health(panels: Sequence[Axes], curves: Mapping[str, Floats]) -> Entries:
    """On the first panel shares of one, then the spread, then the advantage if it is known."""
    entries: Entries = []
    own = itertools.cycle((COLOURS[3], COLOURS[6], GREY))  # of the controller's figures
    for name, values in curves.items():
        axes = {SPREAD: panels[1], ADVANTAGE: panels[-1]}.get(name, panels[0])
        (line,) = axes.plot(values, color=OF_HEALTH.get(name) or next(own), linewidth=1.8, marker=_mark(values))
        entries.append((name, line))
    for axes, label, high in zip(panels, ("share", "spread", "advantage"), (1, 0, 0), strict=False):
        axes.set_ylabel(label)
        _reach(axes, high)
    if ADVANTAGE not in curves:
        panels[-1].set_xlabel(WITHOUT)
    return entries


def _draw_groups(axes: Axes, groups: Sequence[Sequence[Search]], names: Sequence[str]) -> Entries:
    """Each group's mean over its seeds, as far as all of them go, with a band where there are several."""
    axes.set_ylabel(_reward(groups[0][0][1]))
    rewards = [aligned(group) for group in groups]
    window = window_of(max(len(seeds[0]) for seeds in rewards))  # one for all, so that the curves compare
    entries: Entries = []
    for number, (name, seeds) in enumerate(zip(names, rewards, strict=True)):
        means = np.array([running_mean(one, window) for one in seeds])
        bests = np.array([best_so_far(one) for one in seeds])
        handle = _curve(axes, means, number, linestyle="-", linewidth=2)
        _curve(axes, bests, number, linestyle="--", linewidth=1.5, drawstyle="steps-post")
        entries.append((_counted(name, len(seeds)), handle))
    return entries + _styles(window, [len(seeds) for seeds in rewards])


def _draw_measures(
    panels: Mapping[str, Axes],
    groups: Sequence[Sequence[Search]],
    names: Sequence[str],
    curves: Mapping[Path, Mapping[str, Floats]],
) -> Entries:
    """On each panel its measure of the groups that have it, as their mean with a band; curves: of each search."""
    entries: dict[str, Any] = {}
    for measure, axes in panels.items():
        axes.set_ylabel("\n".join(textwrap.wrap(_plain(measure), 18)), fontsize=9)
        for number, (name, group) in enumerate(zip(names, groups, strict=True)):
            seeds = [curves[folder][measure] for folder, _, _ in group if measure in curves[folder]]
            if len(seeds) == len(group):
                shortest = min(map(len, seeds))
                handle = _curve(axes, np.array([one[:shortest] for one in seeds]), number, linestyle="-", linewidth=2)
                entries.setdefault(_counted(name, len(group)), handle)
        _reach(axes, 0 if measure in (SPREAD, ADVANTAGE) else 1)
    if not all(ADVANTAGE in one for one in curves.values()):
        list(panels.values())[-1].set_xlabel(WITHOUT)
    return [*entries.items(), *_bands([len(group) for group in groups])]


def _counted(name: str, seeds: int) -> str:
    count = f"{seeds} seed{'s' * (seeds > 1)}"
    return f"{name} ({count})" if name else count


def _drawn(known: Space | None, trials: Sequence[Trial]) -> Floats | None:
    """Rewards of random networks; None where the space is not known, or too little was trained."""
    return random_rewards(known, trials) if known else None


def _reach(axes: Axes, high: float) -> None:
    """Make the axis reach zero, with a line there, and this value at least."""
    bottom, top = axes.get_ylim()
    room = 0.04 * (max(top, high) - min(bottom, 0))
    axes.set_ylim(min(bottom, -room), max(top, high + room))
    axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)


def _mark(values: Floats) -> str:
    return "o" if np.isfinite(values).sum() == 1 else ""  # no line joins one point


def _say(figure: Figure, sentences: Sequence[str]) -> None:
    """What is wrong, above the picture."""
    if sentences:
        text = "\n".join(
            line for sentence in sentences for line in textwrap.wrap(_plain(sentence[0].upper() + sentence[1:]), 120)
        )
        figure.suptitle(text, x=0.01, ha="left", fontsize=9.5, color="#B22222")


def _curve(axes: Axes, curves: Floats, number: int, **style: Any) -> tuple[Any, ...]:
    """The mean of curves (seeds, trials), and a band if there are several, as the group of this number."""
    trials = np.arange(curves.shape[1])
    colour = COLOURS[number % len(COLOURS)]
    marker = MARKERS[number // len(COLOURS) % len(MARKERS)] if len(trials) > 1 else "o"  # no line joins one point
    every = max(1, len(trials) // 8)
    (line,) = axes.plot(trials, curves.mean(0), color=colour, marker=marker, markevery=every, markersize=5, **style)
    if len(curves) == 1:
        return (line,)
    stepped = "drawstyle" in style
    fill = axes.fill_between(trials, *band(curves), step="post" if stepped else None, color=colour, linewidth=0)
    fill.set_alpha(0.09 if stepped else 0.18)
    return fill, line


def _styles(window: int, counts: Sequence[int]) -> Entries:
    """What solid, dashed and the band stand for, in a picture of groups with so many seeds."""
    from matplotlib.lines import Line2D

    entries: Entries = [
        (f"mean of the last {window} trials", Line2D([], [], color=GREY, linewidth=2)),
        ("best so far", Line2D([], [], color=GREY, linewidth=1.5, linestyle="--")),
    ]
    return entries + _bands(counts)


def _bands(counts: Sequence[int]) -> Entries:
    """What the band stands for."""
    from matplotlib.patches import Patch

    return [(text, Patch(color=GREY, alpha=0.25, linewidth=0)) for text in band_captions(counts)]


def _reward(header: Header) -> str:
    """The label of an axis of rewards: of one with parameters, the name and the first two, for there is little room."""
    name, _, rest = header["reward"].partition("(")
    few = ", ".join(part.partition("=")[2].strip("'") for part in rest.removesuffix(")").split(", ")[:2])
    return _plain(f"reward ({shorten(f'{name.lower()}: {few}' if few else name, 40)})")


def _plain(text: str) -> str:
    """The text in letters, its dollars as dollars, not as the marks of a formula."""
    return plain(text).replace("$", r"\$")


def _page(heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """An empty picture, 9 inches wide, with panels of these heights one above the other, on one axis of trials."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, sum(heights)), dpi=200, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E6E6E6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.margins(x=0.015)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    figure.align_ylabels()
    panels[-1].set_xlabel("trial")
    return figure, panels


def _legend(figure: Figure, entries: Entries) -> None:
    """Below the axes, where it hides nothing, in as many columns as fit; the picture grows with its rows."""
    texts = ["\n".join(textwrap.wrap(plain(text), ACROSS - 9, break_on_hyphens=False)) for text, _ in entries]
    longest = max(len(line) for text in texts for line in text.splitlines())
    one_row = sum(len(text) + 9 for text in texts) <= ACROSS
    columns = len(entries) if one_row else max(1, ACROSS // (longest + 9))
    rows = math.ceil(len(entries) / columns) + sum(text.count("\n") for text in texts)
    figure.set_figheight(figure.get_figheight() + 0.2 * max(0, rows - 2))
    figure.legend(
        [handle for _, handle in entries],
        [_plain(text) for text in texts],
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=9.5,
    )


def _suffix(out: Path) -> str:
    if out.suffix.lower() not in FORMATS:
        raise UserError(
            f"{out}: found the suffix {out.suffix!r}, expected one of {', '.join(FORMATS)}; "
            f"name the picture {out.stem}.png, for example"
        )
    return out.suffix.lower()


def _save(figure: Figure, out: Path, suffix: str) -> None:
    with whole_file(out, "a picture that can be written; choose another --out") as unfinished:
        figure.savefig(unfinished, format=suffix[1:], metadata=FORMATS[suffix])
