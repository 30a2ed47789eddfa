"""What a comparison says: its figures as one JSON object, and Markdown and a picture made of that object alone.

Intervals are percentile bootstraps of the mean over seeds; tests are paired, seed by seed (`benchmarks/statistics.py`).
The checklist is that of Lindauer & Hutter, "Best Practices for Scientific Research on Neural Architecture Search",
JMLR 2020, as far as a program can record it.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.statistics import bootstrap, paired
from nas import names
from nas.errors import UserError
from nas.plot import COLOURS, MARKERS, band, band_captions
from nas.pool import cores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks.compare import Contender, Search, Terms
    from benchmarks.tables import Table

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Figures = dict[str, Any]

NAME = "comparison"
CHECKPOINTS = (50, 100, 200)
POINTS = 200  # of a curve over simulated seconds


# --- figures ---


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
    by_name = {
        contender.typed: sorted((s for s in searches if s.controller == contender.typed), key=lambda s: s.seed)
        for contender in contenders
    }
    seeds = sorted({one.seed for one in searches})
    after = _reached(terms, by_name)
    return {
        "format": 1,
        "table": _table(table),
        "terms": _terms(table, terms) | {"seeds": seeds},
        "notes": _notes(table, terms, seeds),
        "after": [_comparison(table, by_name, name, evaluations, references) for name, evaluations in after.items()],
        "controllers": {
            contender.typed: {"parameters": _parameters(contender)} | _costs(by_name[contender.typed])
            for contender in contenders
        },
        "curves": {
            "evaluations": _over_evaluations(by_name, terms),
            "seconds": _over_seconds(by_name, terms) if table.seconds else None,
        },
        "checklist": dict(checklist),
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
    """The result of the network chosen by each of these moments, in simulated seconds; NaN while there is none."""
    ended = np.searchsorted(search.seconds.cumsum(), moments, side="right")  # evaluations that have ended
    return np.concatenate([[np.nan], incumbents(search)])[ended]


def _reached(terms: Terms, by_name: Mapping[str, Sequence[Search]]) -> dict[str, int | None]:
    """When results are compared: in words, and after how many evaluations (None: when all have ended)."""
    timed = terms.seconds < math.inf
    most = min(len(s.rewards) for group in by_name.values() for s in group) if timed else terms.budget - 1
    end = f"{terms.seconds:,g} simulated seconds" if timed else f"{terms.budget:,} evaluations"
    return {f"{number} evaluations": number for number in CHECKPOINTS if number <= most} | {end: None}


def _comparison(
    table: Table,
    by_name: Mapping[str, Sequence[Search]],
    after: str,
    evaluations: int | None,
    references: Sequence[str],
) -> Figures:
    """All controllers at one moment."""
    results = {
        name: np.array([incumbents(search, evaluations)[-1] for search in group]) for name, group in by_name.items()
    }
    tests = [
        {"controller": name, "against": reference, **_paired(results[name], results[reference])}
        for reference in references
        for name in results
        if name != reference
    ]
    return {
        "after": after,
        "controllers": {name: _spread(values, table.optimum) for name, values in results.items()},
        "paired": tests,
    }


def _spread(values: Floats, optimum: float) -> Figures:
    """Of the results over seeds; seeds that found nothing count as found 0 times, not as a result."""
    found = values[np.isfinite(values)]
    mean = float(found.mean()) if len(found) else None
    return {
        "mean": mean,
        "deviation": float(found.std(ddof=1)) if len(found) > 1 else None,
        "interval": bootstrap(found),
        "regret": None if mean is None else optimum - mean,
        "optimum_found": float((found == optimum).mean()) if len(found) else None,
        "seeds_with_a_result": len(found),
        "results": _json(values),
    }


def _paired(first: Floats, second: Floats) -> Figures:
    both = np.isfinite(first) & np.isfinite(second)
    if not both.any():
        return {"pairs": 0, "difference": None, "interval": None, "p": None, "effect": None}
    return paired(first[both], second[both])._asdict()


def _costs(group: Sequence[Search]) -> Figures:
    trials = sum(search.trials for search in group)
    return {
        "repeats": 1 - sum(min(len(s.rewards), s.trials) for s in group) / trials,
        "failed": float(np.concatenate([np.isnan(search.rewards) for search in group]).mean()),
        "evaluations": float(np.mean([len(search.rewards) for search in group])),
        "simulated_seconds": _json(np.array([np.mean([search.seconds.sum() for search in group])]))[0],
        "ms_a_trial": 1000 * float(np.median([search.thinking / search.trials for search in group])),
        "wall_seconds": sum(search.wall for search in group),
        "ended": dict(Counter(search.why for search in group).most_common()),
    }


def _over_evaluations(by_name: Mapping[str, Sequence[Search]], terms: Terms) -> Figures:
    lengths = [len(search.rewards) for group in by_name.values() for search in group]
    last = max(1, min(lengths) if terms.seconds < math.inf else min(terms.budget, max(lengths)))
    curves = {name: np.array([incumbents(search, last) for search in group]) for name, group in by_name.items()}
    return {"at": list(range(1, last + 1)), "controllers": {name: _band(curve) for name, curve in curves.items()}}


def _over_seconds(by_name: Mapping[str, Sequence[Search]], terms: Terms) -> Figures:
    """To the end of the budget, or as far as all searches go."""
    last = min(float(search.seconds.sum()) for group in by_name.values() for search in group)
    moments = np.linspace(0, terms.seconds if terms.seconds < math.inf else last, POINTS + 1)[1:]
    curves = {name: np.array([incumbents_at(search, moments) for search in group]) for name, group in by_name.items()}
    return {"at": _json(moments), "controllers": {name: _band(curve) for name, curve in curves.items()}}


def _band(curves: Floats) -> dict[str, list[float | None]]:
    """Mean and band of curves (seeds, moments); None at moments where a seed has nothing yet."""
    low, high = band(curves)
    return {"mean": _json(curves.mean(0)), "low": _json(low), "high": _json(high)}


def _json(values: Floats) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _parameters(contender: Contender) -> dict[str, Any]:
    """All of a controller's parameters, those of its defaults too."""
    kind: Any
    kind, given = contender.made()
    return {name: parameter.default for name, parameter in names.parameters(kind, 3).items()} | given


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


def _terms(table: Table, terms: Terms) -> Figures:
    return {
        "budget": terms.budget,
        "simulated_seconds": terms.seconds if terms.seconds < math.inf else None,
        "window": terms.window,
        "fail": terms.fail,
        "length": terms.length,
        "patience": terms.patience,
    }


def _notes(table: Table, terms: Terms, seeds: Sequence[int]) -> list[str]:
    """What a reader must know to take the figures as what they are."""
    notes = []
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


# --- the checklist ---


def checklist(command: str, wall: float) -> Figures:
    """What a repetition needs to know beside table, terms and parameters. wall: seconds of the whole run."""
    packages = ("torch", "numpy", "scipy", "optuna")
    return {
        "code": {"nas-rl": _version("nas-rl"), "commit": _commit()},
        "versions": {"python": platform.python_version(), **{package: _version(package) for package in packages}},
        "command": command,
        "hardware": {"cpu": _cpu(), "cores": cores(), "system": f"{platform.system()} {platform.machine()}"},
        "wall_seconds": wall,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this code, "-dirty" where files differ from it; None where it is no checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():  # installed; a checkout around it would be another's
        return None
    try:
        words = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


# --- Markdown ---


def markdown(figures: Figures, checklist: bool = True) -> str:
    """The report for people; without its checklist it is what the terminal shows."""
    table, terms = figures["table"], figures["terms"]
    count = len(terms["seeds"])
    spread = ", standard deviation, and bootstrap 95 % interval of the mean" if count > 1 else ""
    said = [
        f"# {table['name']}: {', '.join(figures['controllers'])}",
        f"Result of the chosen network ({table['result']}), which is the one with the highest reward "
        f"({table['reward']}); the search sees nothing else. Mean over {count} seed{'s' * (count > 1)}{spread}. "
        f"The table's optimum is {table['optimum']:.4f}, its highest reward is worth "
        f"{table['result_of_the_highest_reward']:.4f}.",
        *(f"Note: {note}" for note in figures["notes"]),
        *(_moment(moment) for moment in figures["after"]),
        "## What the searches did",
        _searched(figures["controllers"]),
        *([_checklist(figures)] if checklist else []),
    ]
    return "\n\n".join(said) + "\n"


def _moment(moment: Figures) -> str:
    """All controllers after so many evaluations, and how they differ from the first reference and others."""
    rows = [
        [
            name,
            _number(of["mean"], 3),
            _number(of["deviation"], 3),
            _interval(of["interval"]),
            _number(of["regret"], 3),
            _percent(of["optimum_found"]),
        ]
        for name, of in moment["controllers"].items()
    ]
    text = f"## After {moment['after']}\n\n"
    text += _grid(["controller", "mean", "deviation", "95 %", "regret", "found the optimum"], rows)
    tests = [
        [
            f"{test['controller']} − {test['against']}",
            _number(test["difference"], 3, "+"),
            _interval(test["interval"], "+"),
            _number(test["effect"], 2, "+"),
            _p(test["p"]),
            str(test["pairs"]),
        ]
        for test in moment["paired"]
    ]
    if not tests:
        return text
    heads = ["difference", "mean", "95 %", "rank-biserial", "p (Wilcoxon)", "pairs"]
    return f"{text}\n\n{_grid(heads, tests)}"


def _searched(controllers: Mapping[str, Figures]) -> str:
    heads = ["controller", "networks", "repeats", "failed", "ms a trial", "wall seconds", "ended because"]
    rows = [
        [
            name,
            f"{of['evaluations']:,.1f}",
            _percent(of["repeats"]),
            _percent(of["failed"]),
            f"{of['ms_a_trial']:.2f}",
            f"{of['wall_seconds']:.1f}",
            "; ".join(f"{why} ({count})" for why, count in of["ended"].items()),
        ]
        for name, of in controllers.items()
    ]
    said = "Networks: mean over seeds. ms a trial: asking and telling, median over seeds. Wall seconds: of all seeds."
    return f"{_grid(heads, rows)}\n\n{said}"


def _checklist(figures: Figures) -> str:
    table, terms, facts = figures["table"], figures["terms"], figures["checklist"]
    seeds = terms["seeds"]
    hardware = facts["hardware"]
    rows = {
        "code": _pairs(facts["code"]),
        "versions": _pairs(facts["versions"]),
        "command": f"`{facts['command']}`",
        "search space and training": f"{table['name']}, {table['networks']:,} networks, the same table for all",
        "table": f"{table['file']}, SHA-256 {table['sha256'] or 'not taken of a folder'}",
        "the search sees": f"{table['reward']}{' / 100' * (table['divided_by'] == 100)}",
        "it is judged by": table["result"],
        "budget, the same for all": _pairs({k: v for k, v in terms.items() if k != "seeds"}),
        "seeds": f"{seeds[0]} to {seeds[-1]}, each with every controller",
        "baseline": "random search, the same seeds",
        "hardware": f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['system']}",
        "wall time": f"{facts['wall_seconds']:.1f} s in all",
        **{f"parameters of {name}": _pairs(of["parameters"]) for name, of in figures["controllers"].items()},
        "single results": f"{NAME}.json, by controller and seed",
    }
    return "## To repeat it\n\n" + _grid(["what", "here"], [[name, text] for name, text in rows.items()])


def _grid(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None) or "none"


def _number(value: float | None, digits: int, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.{digits}f}"


def _interval(interval: Sequence[float] | None, sign: str = "") -> str:
    return "–" if interval is None else f"{interval[0]:{sign}.3f} to {interval[1]:{sign}.3f}"


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
        raise _unwritable(out, error) from None


def write(figures: Figures, out: Path) -> None:
    """The three files; raises UserError if they cannot be written."""
    make_folder(out)
    try:
        (out / f"{NAME}.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        (out / f"{NAME}.md").write_text(markdown(figures))
        draw(figures, out / f"{NAME}.png")
    except OSError as error:
        raise _unwritable(out, error) from None


def draw(figures: Figures, out: Path) -> None:
    """The chosen network's result over evaluations and, where a table has them, over simulated seconds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {what: curve for what, curve in figures["curves"].items() if curve}
    figure = Figure(figsize=(1 + 6 * len(shown), 5), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    table = figures["table"]
    for place, (what, curves) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(1, len(shown), place)
        axes.set_xlabel({"evaluations": "networks evaluated", "seconds": "simulated seconds"}[what])
        axes.set_ylabel("result of the chosen network")
        _draw_curves(axes, curves)
        axes.axhline(table["optimum"], color="#555555", linewidth=1, linestyle=":", label="optimum of the table")
        low = _floor(curves, table["optimum"])
        axes.set_ylim(low, table["optimum"] + 0.05 * (table["optimum"] - low))
    captions = band_captions([len(figures["terms"]["seeds"])])
    figure.suptitle(" · ".join([table["name"], f"mean of {len(figures['terms']['seeds'])} seeds", *captions]))
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)
    figure.savefig(out, format="png", metadata={"Software": None})


def _draw_curves(axes: Axes, curves: Figures) -> None:
    at = curves["at"]
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    for number, (name, curve) in enumerate(curves["controllers"].items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]
        mean, low, high = (np.array(curve[part], float) for part in ("mean", "low", "high"))
        every = max(1, len(at) // 8)
        axes.plot(at, mean, color=colour, marker=marker or ("o" if len(at) == 1 else ""), markevery=every, label=name)
        axes.fill_between(at, low, high, color=colour, alpha=0.12, linewidth=0)


def _floor(curves: Figures, optimum: float) -> float:
    """Where the picture begins: just below the lowest mean after a tenth of the curve, for the start hides the rest."""
    start = len(curves["at"]) // 10
    means = np.array([curve["mean"][start:] for curve in curves["controllers"].values()], float)
    lowest = float(np.nanmin(means)) if np.isfinite(means).any() else optimum - 1
    return lowest - 0.05 * max(optimum - lowest, 1e-6)


def _unwritable(out: Path, error: OSError) -> UserError:
    return UserError(f"{out}: found {error.strerror}, expected a folder that can be written to; choose another --out")
