"""What a comparison says: its figures as one JSON object, and Markdown and a picture made of that object alone.

It is what `nas compare` and the benchmarks write; the page of `nas report` is `nas/pages/page.py`.

Intervals are percentile bootstraps of the mean over seeds; tests are paired, seed by seed (`nas/statistics.py`).
The checklist is that of Lindauer & Hutter, "Best Practices for Scientific Research on Neural Architecture Search",
JMLR 2020, as far as a program can record it.

Beside what `figures` gives, a comparison says what it is of: "name" (a short title), "about" (sentences on what is
chosen and what is reported), "axes" (what "result" and "seconds" are called in the picture), "notes" (sentences),
"terms" (the budget, the same for all), "conditions" (what else a repetition needs, row by row) and "checklist".
"""

from __future__ import annotations

import json
import math
import platform
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas import machine
from nas.errors import UserError
from nas.machine import cores
from nas.plot import COLOURS, MARKERS
from nas.space import shorten
from nas.statistics import LEAST, Floats, bands, bootstrap, paired
from nas.whole import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Ints = npt.NDArray[np.int64]
Figures = dict[str, Any]

NAME = "comparison"
CHECKPOINTS = (50, 100, 200)
POINTS = 200  # of a curve over seconds


class Search(NamedTuple):
    """What one search did: its evaluations, each of another network, one after the other."""

    controller: str
    seed: int
    rewards: Floats  # (evaluations,), NaN where failed; the highest chooses
    results: Floats  # (evaluations,), what the chosen network is judged by
    seconds: Floats  # (evaluations,), each one's own; NaN where nobody knows them
    trials: int  # repeats included
    repeats: int  # of the trials, those of a network met before
    thinking: float  # seconds a trial in the controller; NaN where nobody knows them
    wall: float  # seconds in all
    why: str  # it ended


# --- figures ---


def figures(
    groups: Mapping[str, Sequence[Search]],
    references: Sequence[str],
    budget: int,
    seconds: float = math.inf,
    timed: bool = True,
    optimum: float | None = None,
    networks: float = math.inf,
    highest: float | None = None,
) -> Figures:
    """What every comparison reports, fit for JSON. groups: by controller, the searches of each in any order.

    references: controllers that all others are tested against.  budget: evaluations;  seconds: the budget of these.
    timed: whether evaluations have seconds.  optimum: the highest result there is, None where nobody knows it.
    networks: how many there are in all.  highest: the highest reward there is, None where nobody knows it.
    """
    by_name = {name: sorted(group, key=lambda search: search.seed) for name, group in groups.items()}
    after = _reached(by_name, budget, seconds, networks)
    return {
        "format": 1,
        "optimum": optimum,
        "after": [
            _with_rewards(moment(said, _results(by_name, at), references, optimum), by_name, at, highest)
            for said, at in after.items()
        ],
        "controllers": {name: _costs(group) for name, group in by_name.items()},
        "curves": {
            "evaluations": _over_evaluations(by_name, budget, seconds),
            "seconds": _over_seconds(by_name, seconds) if timed else None,
        },
    }


def chosen(rewards: Floats) -> Ints:
    """After each evaluation, which one the search would choose: the first of the highest reward; -1 while all failed.

    rewards: (evaluations,), NaN where failed.
    """
    known = np.where(np.isnan(rewards), -np.inf, rewards)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(known)])[:-1]
    found: Ints = np.maximum.accumulate(np.where(known > before, np.arange(len(known)), -1))
    return found


def incumbents(search: Search, length: int | None = None) -> Floats:
    """The result of the network chosen after each evaluation, NaN while there is none.

    length: of the curve; a search that ended earlier keeps what it had chosen.
    """
    place = chosen(search.rewards)
    curve = np.where(place >= 0, search.results[place], np.nan) if len(place) else np.array([np.nan])
    return curve if length is None else curve[np.minimum(np.arange(length), len(curve) - 1)]


def incumbents_at(search: Search, moments: Floats) -> Floats:
    """The result of the network chosen by each of these moments, in seconds of evaluations; NaN while there is none."""
    ended = np.searchsorted(search.seconds.cumsum(), moments, side="right")  # evaluations that have ended
    return np.concatenate([[np.nan], incumbents(search)])[ended]


def moment(
    after: str,
    results: Mapping[str, Mapping[int, float]],
    references: Sequence[str],
    optimum: float | None = None,
) -> Figures:
    """All controllers at one moment, each pair tested once.

    results: by controller and seed, NaN where a seed has none.
    """
    return {
        "after": after,
        "controllers": {name: _spread(np.array(list(of.values())), optimum) for name, of in results.items()},
        "paired": [
            {"controller": name, "against": reference, **_paired(results[name], results[reference])}
            for place, reference in enumerate(references)
            for name in results
            if name not in references[: place + 1]
        ],
    }


def _reached(
    by_name: Mapping[str, Sequence[Search]], budget: int, seconds: float, networks: float
) -> dict[str, int | None]:
    """When results are compared: in words, and after how many evaluations (None: when all have ended)."""
    counts = [len(search.rewards) for group in by_name.values() for search in group]
    common = min(counts) if seconds < math.inf else max(counts)
    on_the_way = [number for number in CHECKPOINTS if number <= common and number < max(counts)]
    end = _end(counts, budget, seconds, networks)
    return {f"{number} evaluations": number for number in on_the_way} | {end: None}


def _end(counts: Sequence[int], budget: int, seconds: float, networks: float) -> str:
    """In words, when searches with so many evaluations have all ended.

    Where one has reached its budget, others with fewer have ended earlier and keep what they had chosen.
    """
    least, most, full = min(counts), max(counts), min(budget, networks)
    if least == networks:
        return every(least)
    if seconds < math.inf and least < full:
        return f"{seconds:,g} simulated seconds{f' or {most:,} evaluations' if most == full else ''}"
    return f"{'up to ' if least < most < budget else ''}{counted(most, 'evaluation')}"


def _results(by_name: Mapping[str, Sequence[Search]], evaluations: int | None) -> dict[str, dict[int, float]]:
    return {
        name: {search.seed: float(incumbents(search, evaluations)[-1]) for search in group}
        for name, group in by_name.items()
    }


def _with_rewards(
    moment: Figures, by_name: Mapping[str, Sequence[Search]], evaluations: int | None, highest: float | None
) -> Figures:
    """The same with the share of the seeds that had found the highest reward: all that a search can look for."""
    for name, of in moment["controllers"].items():
        best = [np.fmax.reduce(search.rewards[:evaluations], initial=-np.inf) for search in by_name[name]]
        of["highest_reward_found"] = None if highest is None else float(np.mean([one == highest for one in best]))
    return moment


def _spread(values: Floats, optimum: float | None) -> Figures:
    """Of the results over seeds; a seed that found nothing has no result, and has not found the optimum."""
    found = values[np.isfinite(values)]
    mean = float(found.mean()) if len(found) else None
    return {
        "mean": mean,
        "deviation": float(found.std(ddof=1)) if len(found) > 1 else None,
        "interval": bootstrap(found),
        "regret": None if mean is None or optimum is None else optimum - mean,
        "optimum_found": None if optimum is None else float((values == optimum).mean()),
        "seeds_with_a_result": len(found),
        "results": _json(values),
    }


def _paired(first: Mapping[int, float], second: Mapping[int, float]) -> Figures:
    """Of the seeds that have a result in both."""
    pairs = np.array([(value, second[seed]) for seed, value in first.items() if seed in second]).reshape(-1, 2)
    both = pairs[np.isfinite(pairs).all(1)]
    if not len(both):
        return {"pairs": 0, "unequal": 0, "difference": None, "interval": None, "p": None, "effect": None}
    return paired(both[:, 0], both[:, 1])._asdict()


def _costs(group: Sequence[Search]) -> Figures:
    evaluations = np.concatenate([search.rewards for search in group])
    means = np.array(
        [
            np.mean([search.seconds.sum() for search in group]),
            1000 * np.median([search.thinking for search in group]),
        ]
    )
    seconds, thinking = _json(means)
    return {
        "seeds": [search.seed for search in group],
        "repeats": _share(sum(s.repeats for s in group), sum(s.trials for s in group)),
        "failed": _share(int(np.isnan(evaluations).sum()), len(evaluations)),
        "evaluations": len(evaluations) / len(group),
        "seconds": seconds,
        "ms_a_trial": thinking,
        "wall_seconds": sum(search.wall for search in group),
        "ended": dict(Counter(search.why for search in group).most_common()),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _over_evaluations(by_name: Mapping[str, Sequence[Search]], budget: int, seconds: float) -> Figures:
    lengths = [len(search.rewards) for group in by_name.values() for search in group]
    last = max(1, min(lengths) if seconds < math.inf else min(budget, max(lengths)))
    curves = {name: np.array([incumbents(search, last) for search in group]) for name, group in by_name.items()}
    return {"at": list(range(1, last + 1)), "controllers": {name: _band(curve) for name, curve in curves.items()}}


def _over_seconds(by_name: Mapping[str, Sequence[Search]], seconds: float) -> Figures:
    """To the end of the budget, or as far as all searches go."""
    last = min(float(search.seconds.sum()) for group in by_name.values() for search in group)
    moments = np.linspace(0, seconds if seconds < math.inf else last, POINTS + 1)[1:]
    curves = {name: np.array([incumbents_at(search, moments) for search in group]) for name, group in by_name.items()}
    return {"at": _json(moments), "controllers": {name: _band(curve) for name, curve in curves.items()}}


def _band(curves: Floats) -> dict[str, list[float | None]]:
    """Mean of curves (seeds, moments) and its 95 % interval; None at moments where a seed has nothing yet."""
    low, high = bands(curves)
    return {"mean": _json(curves.mean(0)), "low": _json(low), "high": _json(high)}


def _json(values: Floats) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


# --- the checklist ---


def checklist(command: str, wall: float) -> Figures:
    """What a repetition needs to know beside terms, conditions and parameters. wall: seconds of the whole run."""
    packages = ("torch", "numpy", "scipy", "optuna")
    return {
        "code": machine.code(),
        "versions": machine.versions(packages),
        "command": command,
        "hardware": {"cpu": machine.cpu(), "cores": cores(), "system": f"{platform.system()} {platform.machine()}"},
        "wall_seconds": wall,
    }


# --- Markdown ---


def markdown(figures: Figures, checklist: bool = True) -> str:
    """The report for people; without its checklist it is what the terminal shows."""
    said = [
        f"# {figures['name']}: {', '.join(figures['controllers'])}",
        f"{figures['about']} {_means(figures['controllers'])}",
        *(f"Note: {note}" for note in figures["notes"]),
        *(_moment(moment, figures["optimum"] is not None) for moment in figures["after"]),
        *_on_tests([test for moment in figures["after"] for test in moment["paired"]]),
        "## What the searches did",
        _searched(figures["controllers"], figures["axes"]["seconds"]),
        *([_checklist(figures)] if checklist else []),
    ]
    return "\n\n".join(said) + "\n"


def _means(controllers: Mapping[str, Figures]) -> str:
    """What the figures of a moment are."""
    counts = {len(of["seeds"]) for of in controllers.values()}
    most = max(counts)
    seeds = f"{most} seed{'s' * (most > 1)}" if len(counts) == 1 else f"{min(counts)} to {most} seeds"
    spread = ", standard deviation, and bootstrap 95 % interval of the mean" if most > 1 else ""
    return f"Mean over {seeds}{spread}."


def _moment(moment: Figures, known: bool) -> str:
    """All controllers after so many evaluations, and how they differ from the references; known: the optimum is."""
    rewards = any(of.get("highest_reward_found") is not None for of in moment["controllers"].values())
    rows = [
        [
            name,
            _number(of["mean"], 3),
            _number(of["deviation"], 3),
            _interval(of["interval"]),
            *([_number(of["regret"], 3), _percent(of["optimum_found"])] if known else []),
            *([_percent(of["highest_reward_found"])] if rewards else []),
        ]
        for name, of in moment["controllers"].items()
    ]
    heads = ["controller", "mean", "deviation", "95 %", *(["regret", "found the optimum"] if known else [])]
    heads += ["found the highest reward"] if rewards else []
    text = f"## After {moment['after']}\n\n{grid(heads, rows)}"
    tests = [
        [
            f"{test['controller']} − {test['against']}",
            _number(test["difference"], 3, "+"),
            _interval(test["interval"], "+"),
            _number(test["effect"], 2, "+"),
            _p(test["p"]),
            _pairs(test["pairs"], test["unequal"]),
        ]
        for test in moment["paired"]
    ]
    if not tests:
        return text
    heads = ["difference", "mean", "95 %", "rank-biserial", "p (Wilcoxon)", "pairs"]
    return f"{text}\n\n{grid(heads, tests)}"


def _on_tests(tests: Sequence[Figures]) -> list[str]:
    """What holds for all tests, if there are any."""
    if not tests:
        return []
    said = "p is two-sided and not corrected for the number of tests."
    if any(test["unequal"] < test["pairs"] for test in tests):
        said += " Equal pairs are left out of it, and of the rank-biserial correlation."
    if any(test["unequal"] < LEAST for test in tests):
        said += f" With fewer than {LEAST} unequal pairs there is none: even the smallest possible is above 0.05."
    return [said]


def _pairs(pairs: int, unequal: int) -> str:
    return str(pairs) if unequal == pairs else f"{pairs}, {unequal} unequal"


def _searched(controllers: Mapping[str, Figures], seconds: str) -> str:
    """What the searches spent; seconds: what those of evaluations are called. What nobody knows has no column."""
    columns = {
        "networks": [f"{of['evaluations']:,.1f}" for of in controllers.values()],
        "repeats": [_percent(of["repeats"]) for of in controllers.values()],
        "failed": [_percent(of["failed"]) for of in controllers.values()],
        seconds: [_number(of["seconds"], 1) for of in controllers.values()],
        "ms a trial": [_number(of["ms_a_trial"], 2) for of in controllers.values()],
        "wall seconds": [f"{of['wall_seconds']:.1f}" for of in controllers.values()],
        "ended because": [
            "; ".join(f"{why} ({count})" for why, count in of["ended"].items()) for of in controllers.values()
        ],
    }
    known = {head: cells for head, cells in columns.items() if set(cells) != {_number(None, 0)}}
    rows = [[name, *cells] for name, *cells in zip(controllers, *known.values(), strict=True)]
    said = [f"Networks{' and ' + seconds if seconds in known else ''}: mean over seeds."]
    if "ms a trial" in known:
        said.append("ms a trial: in the controller, median over seeds.")
    return f"{grid(['controller', *known], rows)}\n\n{' '.join(said)} Wall seconds: of all seeds."


def _checklist(figures: Figures) -> str:
    facts, hardware = figures["checklist"], figures["checklist"]["hardware"]
    controllers = figures["controllers"]
    rows = {
        "code": pairs(facts["code"]),
        "versions": pairs(facts["versions"]),
        "command": f"`{facts['command']}`",
        **figures["conditions"],
        "budget, the same for all": pairs(figures["terms"]),
        "seeds": _seeds(controllers),
        "hardware": f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['system']}",
        "wall time": f"{facts['wall_seconds']:.1f} s in all",
        **{f"parameters of {name}": pairs(of["parameters"]) for name, of in controllers.items()},
        "single results": f"{NAME}.json, by controller and seed",
    }
    return "## To repeat it\n\n" + grid(["what", "here"], [[name, text] for name, text in rows.items()])


def without_results(groups: Mapping[str, Sequence[Search]]) -> list[str]:
    """Notes on searches that have chosen nothing by their ends, which no mean has."""
    none = {name: sum(bool(np.isnan(s.rewards).all()) for s in group) for name, group in groups.items()}
    notes = [
        f"{name} has no result for {missing} of {counted(len(groups[name]), 'seed')}, where no evaluation succeeded"
        f"{'; mean, interval and tests are of the others' * (missing < len(groups[name]))}."
        for name, missing in none.items()
        if missing
    ]
    lengths = [len(search.rewards) for group in groups.values() for search in group]
    early = f"{lengths.count(0):,} of {len(lengths):,} searches ended before their first evaluation."
    return notes + [early] * (0 in lengths)


def _seeds(controllers: Mapping[str, Figures]) -> str:
    """Which ones, of each controller where they are not the same for all."""
    texts = {name: _numbers(of["seeds"]) for name, of in controllers.items()}
    if len(set(texts.values())) == 1:
        return f"{next(iter(texts.values()))}, each with every controller"
    return "; ".join(f"{name}: {text}" for name, text in texts.items())


def _numbers(seeds: Sequence[int]) -> str:
    whole = len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole else ", ".join(map(str, seeds))


def grid(heads: Sequence[str], rows: Iterable[Sequence[str]], words: int | None = None) -> str:
    """A table in Markdown. words: how many columns come before those of numbers, which stand to the right."""
    left = len(heads) if words is None else words
    lines = [heads, ["---"] * left + ["---:"] * (len(heads) - left), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def pairs(values: Mapping[str, Any]) -> str:
    """In one line, as "budget 100, window 1"; what is None is left out."""
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None) or "none"


def counted(number: int, noun: str) -> str:
    """In words, as "1 network" or "1,200 networks"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def every(networks: int) -> str:
    """In words, as many networks as there are."""
    return "the only network" if networks == 1 else f"all {networks:,} networks"


def _number(value: float | None, digits: int, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}z.{digits}f}"


def _interval(interval: Sequence[float] | None, sign: str = "") -> str:
    return "–" if interval is None else f"{interval[0]:{sign}z.3f} to {interval[1]:{sign}z.3f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


# --- the picture, and the files ---


def make_folder(out: Path) -> None:
    """Raise UserError if nothing can be written there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from None


def write(figures: Figures, out: Path) -> None:
    """The three files; raises UserError if they cannot be written."""
    make_folder(out)
    try:
        (out / f"{NAME}.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        (out / f"{NAME}.md").write_text(markdown(figures))
        draw(figures, out / f"{NAME}.png")
    except OSError as error:
        raise unwritable(out, error) from None


def written(figures: Figures, out: Path) -> str:
    """Write the three files; gives what the terminal shows."""
    write(figures, out)
    return f"{markdown(figures, checklist=False)}\nwritten: {out / NAME}.json, .md and .png"


def draw(figures: Figures, out: Path) -> None:
    """The chosen network's result over evaluations and, where they have such, over seconds; and that of the end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {what: curve for what, curve in figures["curves"].items() if curve}
    widths = [6] * len(shown) + [4]
    figure = Figure(figsize=(1 + sum(widths), 5), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    *panels, last = figure.subplots(1, len(widths), width_ratios=widths)
    for axes, (what, curves) in zip(panels, shown.items(), strict=True):
        axes.set_xlabel({"evaluations": "networks evaluated", "seconds": figures["axes"]["seconds"]}[what])
        axes.set_ylabel(figures["axes"]["result"])
        _draw_curves(axes, curves)
        if figures["optimum"] is not None:
            axes.axhline(figures["optimum"], color="#555555", linewidth=1, linestyle=":", label="optimum of the table")
        axes.set_ylim(*_limits(curves, figures["optimum"]))
    _draw_end(last, figures["after"][-1])
    counts = [len(of["seeds"]) for of in figures["controllers"].values()]
    equal = len(set(counts)) == 1
    seeds = f"mean of {max(counts)} seed{'s' * (max(counts) > 1)}" if equal else "means over seeds"
    interval = [f"with {'its 95 % interval' if equal else 'their 95 % intervals'}"] if max(counts) > 1 else []
    figure.suptitle(" · ".join([figures["name"].replace("$", r"\$"), " ".join([seeds, *interval])]))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(5, len(labels)), frameon=False)
    figure.savefig(out, format="png", metadata={"Software": None})


def _draw_end(axes: Axes, end: Figures) -> None:
    """Each controller's mean with its 95 % interval, the first one on top."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    for number, of in enumerate(end["controllers"].values()):
        mean = np.nan if of["mean"] is None else of["mean"]
        low, high = of["interval"] or (mean, mean)
        colour, marker = _look(number)
        axes.errorbar(mean, -number, xerr=[[mean - low], [high - mean]], color=colour, marker=marker or "o", capsize=3)
    names = [shorten(name, 30).replace("$", r"\$") for name in end["controllers"]]
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", length=0)
    axes.set_yticks([-number for number in range(len(names))], names)
    axes.set_ylim(0.5 - len(names), 0.5)
    axes.set_xlabel(textwrap.fill(f"after {end['after']}; mean, 95\N{NO-BREAK SPACE}% interval", 45))


def _draw_curves(axes: Axes, curves: Figures) -> None:
    at = curves["at"]
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    for number, (name, curve) in enumerate(curves["controllers"].items()):
        colour, marker = _look(number)
        mean, low, high = (np.array(curve[part], float) for part in ("mean", "low", "high"))
        every = max(1, len(at) // 8)
        axes.plot(
            at,
            mean,
            color=colour,
            marker=marker or ("o" if len(at) == 1 else ""),
            markevery=every,
            label=name.replace("$", r"\$"),
        )
        axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)


def _look(number: int) -> tuple[str, str]:
    """Colour and marker of the controller of this number."""
    return COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]


def _limits(curves: Figures, optimum: float | None) -> tuple[float, float]:
    """From just below the lowest mean after a tenth of the curve, for the start hides the rest, to above the highest.

    The highest is the optimum where there is one, else that of a band.
    """
    start = len(curves["at"]) // 10
    means, highs = (
        np.array([curve[part][start:] for curve in curves["controllers"].values()], float) for part in ("mean", "high")
    )
    top = float(np.fmax.reduce(highs, axis=None)) if optimum is None else optimum
    if not math.isfinite(top):
        return 0.0, 1.0
    lowest = float(np.nanmin(means)) if np.isfinite(means).any() else top - 1
    room = 0.05 * max(top - lowest, 1e-6)
    return lowest - room, top + room


def write_text(file: Path, text: str) -> None:
    """Write a file, and the folder for it; raises UserError where that cannot be."""
    with whole_file(file) as unfinished:
        unfinished.write_text(text)


def unwritable(out: Path, error: OSError) -> UserError:
    """What a user can mend of a folder in which a file cannot be written."""
    return UserError(f"{out}: found {error.strerror}, expected a folder that can be written to; choose another --out")
