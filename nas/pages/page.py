"""A search as one page of HTML: it needs no network, takes no file, runs nothing but a few lines that sort tables.

A ledger may come from elsewhere. All its text is escaped, by the template and by `Markup.format`; a policy in the page
forbids the browser to load anything; pictures of a model are decoded and written anew.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from nas import health, ledger, recorded, summary
from nas.errors import UserError, plain
from nas.ledger import Trial
from nas.model import MODEL
from nas.model.lines import FOLDER as FINISH
from nas.model.lines import RANDOM
from nas.network import Images
from nas.pages import chart, drawing, learnt, tiles
from nas.pages.chart import Axis, around, said
from nas.pages.model import model
from nas.pages.repeat import command, conditions, controller, finishing, reward
from nas.plot import (
    ADVANTAGE,
    SPREAD,
    Header,
    best_so_far,
    by_number,
    curves_of_health,
    running_mean,
    window_of,
)
from nas.progress import duration
from nas.reward import COSTS, MEASURED, Result
from nas.space import Space, shorten
from nas.statistics import Floats
from nas.whole import whole_file

MOST_TRIALS = 30  # rows of the table of the best
DRAWN = 3  # of them
MOST_POINTS = 400  # of networks that say something when pointed at
MOST_FAILED = 20  # errors that are quoted
TICK = 35  # of a chart's height of 1,000: how tall a trial without a reward stands on its edge
HEAVY = 3_000  # trials; a controller of more is not made again while a page is watched


class Search(NamedTuple):
    """What a page is made from."""

    folder: Path
    header: Header
    trials: Sequence[Trial]
    space: Space | None  # on its data; None where it is not known
    images: Images | None  # of the data; None where they are gone


def opened(folder: Path, space: Space | None = None) -> Search:
    """The search in this folder. space: its own, where it is no built-in one.

    Raises UserError if there is none, if its ledger is damaged, or if the space is another.
    """
    from nas.data import native

    header, trials = ledger.read(folder)
    if space is None:
        found = recorded.space(header, trials)
    else:
        found = recorded.held(space.on(native(header["data"])), header, trials, folder)
    if found is not None:
        return Search(folder, header, trials, found, found.images)
    try:
        return Search(folder, header, trials, None, native(header["data"]))
    except (UserError, OSError, ValueError):  # a header may name anything
        return Search(folder, header, trials, None, None)


def report(folder: Path, beside: Sequence[Path] = (), space: Space | None = None) -> str:
    """The page of a search, with the comparison to the searches beside it if there are any.

    The random search that `nas finish` made is one of them. Raises UserError for a search without a trained network,
    for what `opened` refuses, for the folder itself beside it, and for searches that cannot be compared with it.
    """
    check_beside(folder, beside)
    return report_of(opened(folder, space), beside)


def report_of(search: Search, beside: Sequence[Path] = ()) -> str:
    """The same of a search that was opened; the searches beside it are checked."""
    if not summary.best(search.trials):
        raise lacking(search)
    return page(search, beside)


def check_beside(folder: Path, beside: Sequence[Path]) -> None:
    """Raise UserError for searches that this one, begun or still to begin, cannot be compared with."""
    from nas import compare

    for other in beside:
        if other.resolve() == folder.resolve():
            raise UserError(f"--beside: found {other}, which is this search itself, expected another; name its folder")
    if beside:
        compare.grouped([folder, *beside] if (folder / ledger.FILE).exists() else beside)


def _made(search: Search) -> list[Path]:
    """The random search that `nas finish` made beside this one, if it is there, done, and on the same terms."""
    from nas import compare

    place = search.folder / FINISH / RANDOM
    try:
        compare.grouped([search.folder, place])
        enough = len(compare.trained(ledger.read(place)[1])) >= len(compare.trained(search.trials))
    except UserError:
        return []
    return [place] if enough else []


def page(search: Search, beside: Sequence[Path] = (), live: bool = False) -> str:
    """The page as HTML, with the comparison to the searches beside it. live: it asks for itself again."""
    scripts = [_text("sort.js"), *([_text("live.js")] if live else [])]
    parts = _parts(search, beside, live)
    return _written("page.html", scripts, live, **parts)


def waiting(folder: Path, why: str) -> str:
    """The page of a folder that has no search to show, with the reason."""
    scripts = [_text("sort.js"), _text("live.js")]  # the page that comes in its place has tables
    return _written("waiting.html", scripts, True, folder=folder, why=why, title="Waiting for a search")


def policy(scripts: Sequence[str], live: bool) -> str:
    """What the browser may do: draw, and run these scripts; in a live page ask for the page again."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in scripts]
    again = " connect-src 'self';" if live else ""
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {' '.join(hashes)};{again} "
        "base-uri 'none'; form-action 'none'"
    )


def _written(template: str, scripts: Sequence[str], live: bool, **parts: Any) -> str:
    text: str = (
        _templates()
        .get_template(template)
        .render(
            policy=policy(scripts, live), scripts=scripts, live=live, style=drawing.style() + _text("page.css"), **parts
        )
    )
    return text.encode(errors="replace").decode()  # what is no character cannot be written


@cache
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("nas.pages", "")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else plain(str(value)),
    )  # fmt: skip


@cache
def _text(file: str) -> str:
    return (files("nas.pages") / file).read_text()


# --- what stands in it ---


def _parts(search: Search, beside: Sequence[Path], live: bool) -> dict[str, Any]:
    _, header, trials, space, _ = search
    drawn = summary.random_rewards(space, trials) if space else None
    networks = [(trial, drawn_network(search, trial)) for trial in summary.best(trials, DRAWN)]
    best = summary.best(trials, MOST_TRIALS)
    made = _made(search)
    beside = [*beside, *made]
    finished = finishing(search.folder, search.header)
    measured = [cost for cost in MEASURED if any(one.result and one.result.cost(cost) is not None for one in best)]
    return {
        "title": title(header),
        "folder": search.folder.name,
        "about": about(header, trials),
        "state": state(search),
        "facts": _facts(header, trials, best),
        "said": _said(search, best, None if made else drawn, bool(finished)),  # where it is made, it is compared
        "rewards": _rewards(header, trials) if best else None,
        "networks": networks,
        "read_as": drawing.read_as(" ".join(image for _, image in networks)),
        "unknown": unknown(search),
        "heads": [*HEADS, *(MEASURED_HEADS[cost] for cost in measured), "seconds"],
        "best": [_row(header, trial, measured) for trial in best],
        "fronts": [front for cost in COSTS if (front := _front(header, trials, cost, SHOWN[cost]))],
        "health": _health(trials, drawn) if best else None,
        "health_read_as": _health_read_as(trials, drawn),
        "learnt": _learnt(search, live) if best else None,
        "failures": _failures(trials),
        "comparison": _comparison(search, beside, bool(finished)) if beside else None,
        "model": model(search.folder / MODEL),
        "cost": _cost(header, trials),
        "repeat": f"{command(search.folder, header, len(trials))}\n{finished}".strip(),
        "finished": bool(finished),
        "conditions": conditions(header),
    }


def title(header: Header) -> str:
    """What was searched on what."""
    return f"{shorten(header['space'].partition('(')[0], 60)} on {shorten(header['data'], 60)}"


def about(header: Header, trials: Sequence[Trial]) -> str:
    """By which controller the search is, and how far it has come."""
    done, length = len(trials), header["length"]
    state = f"{done:,} of {length:,} trials" if done < length else f"{done:,} trials"
    return f"{controller(header)}, seed {header['seed']}, {state}"


def _facts(header: Header, trials: Sequence[Trial], best: Sequence[Trial]) -> list[tuple[str, str, str]]:
    """(what, the figure, how sure or of what) of the few things to know first."""
    facts = []
    if best and best[0].result:
        result = best[0].result
        accuracy, images = result.accuracy[-1], header["validation"]
        low, high = summary.interval(accuracy, images)
        sure = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %, {images:,} images; trial {best[0].trial}"
        facts.append(("validation accuracy of the best", f"{100 * accuracy:.2f} %", sure))
        if result.params is not None:
            madds = "" if result.madds is None else f"{said(result.madds)} multiply-adds an image"
            facts.append(("its parameters", said(result.params), madds))
    counts = _counts(trials)
    stopped = f"{counts['stopped']:,} of them stopped early; " if counts["stopped"] else ""
    rest = f"{counts['repeat']:,} repeats, {counts['failed']:,} failed"
    refused = f", {counts['refused']:,} refused" if counts["refused"] else ""
    facts.append(("networks trained", f"{counts['trained']:,}", f"{stopped}{rest}{refused}"))
    seconds = sum(trial.result.seconds for trial in trials if trial.result)
    facts.append(("time", duration(max((t.at for t in trials), default=0.0)), f"{duration(seconds)} of training"))
    return facts


def _counts(trials: Sequence[Trial]) -> dict[str, int]:
    """How many trials there are of each kind; as trained those count too that were stopped, for they have results."""
    counts = {kind: len(of) for kind, of in summary.kinds(trials).items()}
    return counts | {"trained": counts["trained"] + counts["stopped"]}


def state(search: Search) -> str:
    """Whether a process writes to it, "live", or it has all its trials, "ended", or neither, "stopped"."""
    if ledger.running(search.folder):
        return "live"
    return "ended" if len(search.trials) >= search.header["length"] else "stopped"


def _said(search: Search, best: Sequence[Trial], drawn: Floats | None, tested: bool) -> list[tuple[str, str]]:
    """(kind, sentence): what is wrong, and how good what was found really is."""
    _, header, trials, space, _ = search
    said: list[tuple[str, str]] = []
    wrong = health.verdict(trials, header["length"], space, drawn) if trials else None
    if wrong:
        said.append(("wrong", _sentence(wrong.sentence)))
    if not best:
        return [*said, ("", "No network has a reward yet.")]
    plainly = [summary.smallest_said(trials, header["validation"])]
    plainly += [] if drawn is None else [summary.random_said(drawn, trials)]
    said += [("", _sentence(text)) for text in plainly]
    said.append((
        "", "The same validation images chose the best network and judge it, so its accuracy is lower on new "
        "images. " + ("The search has not touched the test images; they were looked at once, for the model below."
                      if tested else "The search has not touched the test images."),
    ))  # fmt: skip
    return said


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _rewards(header: Header, trials: Sequence[Trial]) -> Markup:
    rewards = by_number(trials)
    window = window_of(len(rewards))
    numbers = np.arange(len(rewards), dtype=float)
    y = around((value for value in rewards if value is not None), f"reward ({shorten(reward(header), 60)})")
    x = Axis(0, max(1, len(rewards) - 1), "trial")
    shown = {kind: of for kind, of in summary.kinds(trials).items() if of}
    marks = [
        chart.dots(x, y, [t.trial for t in of], [y.low if t.reward is None else t.reward for t in of], kind,
                   TICK * (kind in ("failed", "refused")))
        for kind, of in shown.items()
    ]  # fmt: skip
    marks.append(chart.line(x, y, numbers, running_mean(rewards, window), "mean"))
    marks.append(chart.line(x, y, numbers, best_so_far(rewards), "best", steps=True))
    entries = [(f"dots {kind}", f"{kind} ({len(of):,})") for kind, of in shown.items()]
    entries += [("line mean", f"mean of the last {window} trials"), ("line best", "best so far")]
    return chart.chart("rewards by trial", x, y, marks) + chart.legend(entries)


def lacking(search: Search) -> UserError:
    """What to say of a search without any reward."""
    return UserError(
        f"{search.folder}: found no trial with a reward, expected one at least; {health.mend(search.trials)}"
    )


def unknown(search: Search) -> str:
    """That the space of a search is not known, what is not seen for that, and what to do; empty where it is known."""
    if search.space is not None:
        return ""
    seen = "so networks are drawn from their text, and what was learnt is not shown"
    if recorded.is_built_in(search.header):
        return f"the space builds other networks now, or the images of {search.header['data']} are gone, {seen}"
    typed = shlex.quote(recorded.as_typed(search.header))
    return f"the space is one's own and was not named, {seen}; give --space {typed}, with its folder"


def drawn_network(search: Search, trial: Trial) -> Markup:
    """A trial's network, by its space where that is known, else by its text."""
    try:
        return drawing.drawn(trial, search.space, search.images)
    except UserError:  # answers that are none of the space's: a ledger may have anything after its first trials
        return drawing.drawn(trial, None, search.images)


class Row(NamedTuple):
    """A network of the table: cells as (text, what they are sorted by)."""

    cells: list[tuple[str, float]]
    network: str


HEADS = ("trial", "reward", "accuracy", "95 %", "parameters", "multiply-adds")
MEASURED_HEADS = {"latency": "latency, ms", "memory": "peak memory, KiB"}


def _row(header: Header, trial: Trial, measured: Sequence[str]) -> Row:
    """measured: the costs that have a column."""
    result = trial.result
    assert result is not None
    low, high = summary.interval(result.accuracy[-1], header["validation"])
    reward = trial.reward or 0.0
    cells = [
        (str(trial.trial), trial.trial), (f"{reward:.4f}", reward),
        (f"{100 * result.accuracy[-1]:.2f} %", result.accuracy[-1]), (f"{100 * low:.1f}–{100 * high:.1f}", low),
        *(_cost_of(result, cost) for cost in ("params", "madds", *measured)),
        (f"{result.seconds:.1f}", result.seconds),
    ]  # fmt: skip
    return Row(cells, shorten("; ".join(summary.described(trial.network)), 200))


def _cost_of(result: Result, cost: str) -> tuple[str, float]:
    found = result.cost(cost)
    if found is None:
        return "", -1
    return {"latency": f"{found:.3g}", "memory": f"{found / 1024:,.0f}"}.get(cost, f"{found:,}"), found


# --- accuracy against cost ---


SHOWN = COSTS | {"memory": "KiB of peak memory"}  # as in the table


def _at(trial: Trial, cost: str) -> tuple[float, float]:
    """Cost, as SHOWN says, and validation accuracy."""
    assert trial.result is not None  # of `summary.whole`
    found = float(trial.result.cost(cost) or 0)
    return found / 1024 if cost == "memory" else found, trial.result.accuracy[-1]


def _front(header: Header, trials: Sequence[Trial], cost: str, name: str) -> Markup | None:
    known = [trial for trial in summary.whole(trials, cost) if _at(trial, cost)[0] > 0]
    if len(known) < 2:
        return None
    first = summary.front(known, cost)
    places = [_at(trial, cost) for trial in known]
    x = around((place[0] for place in places), name, log=True)
    y = around((100 * place[1] for place in places), "validation accuracy, %")
    edge = [(a, 100 * b) for a, b in (_at(trial, cost) for trial in first)]
    xs, ys = np.array([*(a for a, _ in edge), x.high]), np.array([*(b for _, b in edge), edge[-1][1]])
    others = [trial for trial in known if trial not in first]
    step = math.ceil(len(others) / MOST_POINTS) or 1
    points = [_point(x, y, trial, cost, "behind") for trial in others[::step]]
    points += [_point(x, y, trial, cost, "front") for trial in first]
    images = header["validation"]
    low, high = np.array([summary.interval(b / 100, images) for b in ys]).T * 100
    marks = [chart.band(x, y, *_stepped(xs, low, high), "sure"), chart.line(x, y, xs, ys, "best", steps=True)]
    entries = [
        ("dots front", f"none is better and smaller ({len(first)})"),
        ("dots behind", f"other networks ({len(others):,})"),
    ]
    return chart.chart(f"validation accuracy against {name}", x, y, marks, points) + chart.legend(entries)


def _stepped(xs: Floats, lows: Floats, highs: Floats) -> tuple[Floats, Floats, Floats]:
    """The corners of steps, for a band along them."""
    return np.repeat(xs, 2)[1:], np.repeat(lows, 2)[:-1], np.repeat(highs, 2)[:-1]


def _point(x: Axis, y: Axis, trial: Trial, cost: str, kind: str) -> Markup:
    size, accuracy = _at(trial, cost)
    text = f"trial {trial.trial}: {100 * accuracy:.2f} %, {size:,.{0 if cost != 'latency' else 3}f} {SHOWN[cost]}"
    return chart.point(x, y, (size, 100 * accuracy), kind, text, focus=kind == "front")


# --- health, and what was learnt ---


def _health(trials: Sequence[Trial], drawn: Floats | None) -> list[Markup]:
    """Shares of one, the spread of rewards, the advantage over random sampling: a small chart each."""
    curves = curves_of_health(trials, drawn)
    shares = {name: of for name, of in curves.items() if name not in (SPREAD, ADVANTAGE)}
    panels = [_panel(shares, "share", 1.0)]
    panels += [_panel({name: curves[name]}, name, None) for name in (SPREAD, ADVANTAGE) if name in curves]
    return [panel for panel in panels if panel]


def _health_read_as(trials: Sequence[Trial], drawn: Floats | None) -> str:
    """How these charts are read, as far as they have what there is to say of."""
    said = ["Repeats cost nothing, but tell the controller nothing new."]
    said += ["An entropy or ε near 1 is random, near 0 settled."] * any(trial.figures for trial in trials)
    said += [
        "The advantage is that of the best reward over what as many random networks would be expected to have."
    ] * (drawn is not None)
    return " ".join(said)


def _panel(curves: Mapping[str, Floats], label: str, high: float | None) -> Markup:
    values = np.concatenate(list(curves.values()))
    if not np.isfinite(values).any():
        return chart.NOTHING
    length = len(next(iter(curves.values())))
    x = Axis(0, max(1, length - 1), "trial")
    y = around([*values, *([] if high is None else [high])], label, low=min(0.0, float(np.nanmin(values))))
    marks = [
        chart.line(x, y, np.arange(length, dtype=float), of, f"s{number % 4}")
        for number, of in enumerate(curves.values())
    ]
    drawn = chart.chart(label, x, y, marks, low=True)
    return (
        drawn + chart.legend([(f"line s{n % 4}", name) for n, name in enumerate(curves)])
        if len(curves) > 1 or high
        else drawn
    )


def _learnt(search: Search, live: bool) -> dict[str, Any]:
    """Preferences, importances and the path; in place of what cannot be had, a sentence."""
    if search.space is None:
        return {"missing": f"It cannot be shown: {unknown(search)}."}
    try:
        by_choice, each = learnt.preferences(search.space, search.trials)
        matters = learnt.importances(search.space, search.trials)
        unsure = learnt.unsure(matters)
        heavy = live and len(search.trials) > HEAVY
        path = None if heavy else learnt.path(search.space, search.header, search.folder)
    except UserError as error:
        return {"missing": f"It cannot be shown: {error}."}
    return {
        "missing": None,
        "window": window_of(min(len(search.trials), learnt.MOST_ASKED)),
        "preferences": [tiles.preference(one) for one in by_choice],
        "each": [tiles.preference(one) for one in each[:60]] if len(each) > len(by_choice) else [],
        "more": max(0, len(each) - 60),
        "matters": tiles.importance(matters) if matters and not unsure else None,
        "unsure": unsure,
        "networks": matters.networks if matters else 0,
        "path": tiles.path(path[1], path[0]) if path else None,
        "valued": path[0] if path else "",
    }


def _failures(trials: Sequence[Trial]) -> dict[str, Any] | None:
    """How many networks failed by what, how many were refused, and the first errors in full."""
    wrong = [trial for trial in trials if trial.error and trial.same_as is None]
    failed, refused = ([one for one in wrong if one.refused == so] for so in (False, True))
    if not wrong:
        return None
    kinds = Counter((trial.error or "").partition(":")[0] for trial in failed)
    return {
        "kinds": [(shorten(kind, 80), count) for kind, count in kinds.most_common(8)],
        "first": [(trial.trial, shorten(trial.error or "")) for trial in [*failed, *refused][:MOST_FAILED]],
        "failed": len(failed),
        "refused": len(refused),
        "all": len(wrong),
    }


# --- the comparison ---


def _comparison(search: Search, beside: Sequence[Path], tested: bool) -> dict[str, Any] | None:
    """This search and those beside it, by as many different networks as each has trained; None while one has none."""
    from nas import compare

    groups = compare.grouped([search.folder, *beside])
    budget = min(len(compare.trained(trials)) for group in groups.values() for _, _, trials in group)
    if not budget:
        return None
    figures = compare.figures(groups, compare.equal_budget(groups, budget), compare.baselines(groups))
    last = figures["after"][-1]
    after = f"{budget:,} network{'s' * (budget > 1)}"
    return {
        "about": figures["about"], "notes": figures["notes"] + [TESTED] * tested, "after": after,
        "controllers": [(name, len(groups[name]), _spread(of)) for name, of in last["controllers"].items()],
        "tests": [
            (f"{test['controller']} − {test['against']}", f"{test['difference']:+.2f}", _between(test["interval"]),
             "–" if test["p"] is None else f"{test['p']:.2g}")
            for test in last["paired"]
        ],
        "curves": _curves(figures["curves"]["evaluations"]),
    }  # fmt: skip


TESTED = "The model below was tested later, by nas finish."


def _spread(of: Mapping[str, Any]) -> tuple[str, str]:
    return "–" if of["mean"] is None else f"{of['mean']:.2f}", _between(of["interval"])


def _between(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _curves(curves: Mapping[str, Any]) -> Markup:
    at = np.array(curves["at"], float)
    every = {name: {part: np.array(of[part], float) for part in ("mean", "low", "high")}
             for name, of in curves["controllers"].items()}  # fmt: skip
    start = len(at) // 10
    x = Axis(float(at[0]), float(max(at[-1], at[0] + 1)), "networks, failed ones among them")
    means = [of["mean"][start:] for of in every.values()]
    y = around(
        itertools.chain(*means, *(of["high"][start:] for of in every.values())),
        "validation accuracy of the chosen one, %",
    )
    for of in every.values():
        of["mean"][of["mean"] < y.low] = np.nan  # the first networks, which would hide all differences
    marks = [chart.band(x, y, at, of["low"], of["high"], f"s{n % 4}") for n, of in enumerate(every.values())]
    marks += [chart.line(x, y, at, of["mean"], f"s{n % 4}", steps=True) for n, of in enumerate(every.values())]
    return chart.chart("accuracy by networks", x, y, marks) + chart.legend(
        [(f"line s{n % 4}", name) for n, name in enumerate(every)]
    )


# --- what it cost ---


def _cost(header: Header, trials: Sequence[Trial]) -> list[tuple[str, str]]:
    results = [trial.result for trial in trials if trial.result]
    seconds = sum(result.seconds for result in results)
    memory = max((result.memory or 0 for result in results), default=0)
    precisions = Counter(result.precision for result in results if result.precision)
    counts = _counts(trials)
    rows = [
        (
            "trials",
            f"{len(trials):,}, of which {counts['repeat']:,} repeats, not trained again, {counts['failed']:,} failed, "
            f"{counts['refused']:,} refused",
        ),
        ("networks trained", f"{counts['trained']:,}"),
        ("training, summed over workers", duration(seconds)),
        ("wall time, interruptions left out", duration(max((trial.at for trial in trials), default=0.0))),
        ("begun on", f"{header.get('cpu') or 'a CPU that is not recorded'}, {header.get('gpu') or 'no GPU'}"),
        ("precision", ", ".join(f"{name} ({count:,})" for name, count in precisions.items())),
        ("memory of a GPU, at most", f"{memory / 2**20:,.0f} MiB" if memory else ""),
    ]
    if header.get("stop"):
        rows.append(("epochs saved by stopping", f"{100 * summary.saved(trials, header['recipe']['epochs']):.0f} %"))
    return [(name, text) for name, text in rows if text]


def write(out: Path, text: str) -> None:
    """Whole or not at all; raises UserError where it cannot be written."""
    with whole_file(out) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="replace")
