"""The command line, and its commands of searches. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import io
import math
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from nas.errors import UserError, plain
from nas.ledger import MOST_TRIALS
from nas.progress import Counting, Live, Progress, Terminal, duration, shown

if TYPE_CHECKING:
    from nas.data import Data
    from nas.ledger import Trial
    from nas.pool import Training
    from nas.preset import Preset
    from nas.recipe import Recipe
    from nas.reward import Bounds, Result, Reward
    from nas.space import Space
    from nas.stop import Rule

One = TypeVar("One")
Value = TypeVar("Value")

console = Terminal(highlight=False, soft_wrap=True)
A_WORKER = 2**28  # bytes that a process with torch in it has at least
LONGEST_MESSAGE = 3_000  # characters; what was typed, or stands in a file, may be of any length


def run(program: Callable[[], object], name: str = "nas") -> None:
    """A command line; what a user can mend is one message, and exit status 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a locale may lack ≈
    try:
        program()
    except UserError as error:
        _refuse(name, str(error))
    except OSError as error:  # of a path that no message of ours foresaw
        what = str(error.filename or "this machine")
        _refuse(name, f"{what}: found {error.strerror or error}, expected to read and write there; mend that")
    except MemoryError as error:
        _refuse(name, f"found no memory left ({error}), expected room; give smaller numbers, or fewer --workers")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        _refuse_own(name, error)


def _refuse_own(name: str, error: BaseException) -> NoReturn:
    """Refuse what a user's own code raised where nothing foresaw it, or a library that cannot be loaded."""
    from nas.sources import users_place

    if place := users_place(error):
        with suppress(Exception):  # of an error that cannot say what it is
            _refuse(name, f"{place}: found {type(error).__name__}: {error}, expected code that runs; mend it there")
        _refuse(name, f"{place}: found {type(error).__name__}, expected code that runs; mend it there")
    if isinstance(error, ImportError):
        _refuse(name, f"found that {error}, expected all packages of this toolkit, and room to load them; mend either")
    raise error


def _refuse(name: str, message: str) -> NoReturn:
    from nas.space import shorten

    stderr = Terminal(stderr=True, highlight=False, soft_wrap=True)
    stderr.print(f"{name}: {shorten(message, LONGEST_MESSAGE)}", markup=False, style="red")
    sys.exit(2)


def _finite(value: float | None) -> float | None:
    """Refuse nan, which is no less than any bound, and inf."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


SpaceName = Annotated[
    str,
    typer.Argument(
        metavar="SPACE",
        help="A built-in (see `nas spaces`), file.py:Class or module:Class; NAME:depth=18 sets a parameter.",
    ),
]
DataName = Annotated[
    str,
    typer.Option(
        "--data", "-d", help="digits, cifar10, cifar100, mnist, fashion-mnist, svhn, folder:PATH or npz:PATH."
    ),
]


def search(
    space: SpaceName = "chain",
    controller: Annotated[
        str | None,
        typer.Option(
            "--controller",
            "-c",
            show_default="reinforce",
            help="A built-in (see `nas controllers`) or file.py:Class.",
        ),
    ] = None,
    data: DataName = "digits",
    trials: Annotated[
        int, typer.Option("--trials", "-n", min=1, max=MOST_TRIALS, help="How many trials in all, repeats included.")
    ] = 200,
    unique: Annotated[
        int | None, typer.Option(min=1, max=MOST_TRIALS, help="End after so many different networks.")
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(min=1e-9, callback=_finite, help="End after so many hours, interruptions left out."),
    ] = None,
    device_hours: Annotated[
        float | None,
        typer.Option(min=1e-9, callback=_finite, help="End after so many hours of training, summed over workers."),
    ] = None,
    patience: Annotated[
        int, typer.Option(min=1, max=MOST_TRIALS, help="End after so many repeats, or refused networks, in a row.")
    ] = 1000,
    workers: Annotated[
        str,
        typer.Option(
            "--workers",
            "-w",
            help="Children trained at once; auto: all that machine or cluster has; 0: one, without Ray.",
        ),
    ] = "auto",
    per_gpu: Annotated[
        str, typer.Option(help="Children that share a GPU, where there are GPUs; auto: what the first ones show.")
    ] = "auto",
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster, as host:port or auto.")] = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_TRIALS, help="Trials under way at once; max(8, 2 x workers) unless set, eight to a GPU."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the controller and the children.")] = 0,
    epochs: Annotated[
        int | None, typer.Option("--epochs", "-e", min=1, help="Of each child's training, instead of the recipe's.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="A stratified part of the training images, for quick searches.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            show_default="quick",
            help="How children are trained: quick, zoph2017, metaqnn or nasbench201; "
            "NAME:rate=0.02,flip=true sets fields.",
        ),
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            show_default="accuracy",
            help="accuracy, cubed, negative-loss, balanced-accuracy, macro-f1, module:function; or accuracy at a "
            "price, soft:target=2e6,cost=madds or hard:target=..., of params, madds, latency (ms) or memory (bytes).",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Controller with its parameters, recipe, reward and limits as in a paper: zoph2017, metaqnn or "
            "nasbench201-reinforce (see `nas presets`). Options given beside it replace its parts."
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHOICE=START[+STEP/EVERY]",
            help="A choice's options up to START only, and STEP further every EVERY trials, as in depth=6+2/1600; the "
            "smallest is always allowed. May be repeated.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    child_timeout: Annotated[
        float | None, typer.Option(min=1e-9, callback=_finite, help="Seconds that a child may train.")
    ] = None,
    stop: Annotated[
        str,
        typer.Option(
            help="When children stop before their last epoch: none, halving, prediction (NAME:first=4 sets a "
            "parameter) or file.py:Class.",
        ),
    ] = "none",
    latency: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_TRIALS,
            metavar="N",
            help="Measure each network's latency, of one image and of N at once, and its peak memory, before it is "
            "trained. A reward or a bound that needs them measures them unasked, with N=64.",
        ),
    ] = None,
    max_params: Annotated[int | None, typer.Option(min=1, help="Refuse networks with more parameters.")] = None,
    max_madds: Annotated[
        int | None, typer.Option(min=1, help="Refuse networks with more multiply-adds an image.")
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(min=1e-9, callback=_finite, help="Refuse networks that take longer for one image, measured."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the controller; may be repeated."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Pixels a side to which a folder's images are decoded.")
    ] = None,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Go on without a folder's unreadable files.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The search's folder; else runs/SPACE-CONTROLLER-DATA-seedN.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves for TensorBoard to the search's folder.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Train ten random children and estimate the whole; with bounds on costs, how many networks pass.",
        ),
    ] = False,
) -> None:
    """Search for a network; the same command again goes on with a search that was stopped, or has fewer trials."""
    from nas import names
    from nas.check import judges, sound
    from nas.ledger import begun
    from nas.reward import Bounds

    found_space = names.space(space)
    kind, plan = _planned(preset, controller, settings or [], recipe, reward)
    chosen = names.recipe(plan.recipe, epochs)
    wanted = names.reward(plan.reward)
    rule = names.stop(stop)
    _advise(rule, chosen, wanted)
    bounds = Bounds(max_params, max_madds, max_latency_ms)
    own_limits = names.limits(limit or [])
    count, shared = number_or_auto("--workers", workers, 0), number_or_auto("--per-gpu", per_gpu, 1)
    names.device(device)
    check_workers(count, address)
    images_here = _load(found_space, data, images, image_size, skip_corrupt)
    folder = out or Path("runs") / _folder_name(space, plan.controller, data, seed)
    length = min(trials, unique or trials)
    header, old = begun(folder)
    limits = plan.limits_of(found_space, header.get("length", length)) | own_limits
    here = found_space.on(images_here.images, limits)
    sound(here)
    from nas.pool import Training
    from nas.search import THREADS, batch_of
    from nas.search import search as begin

    batch = batch_of(latency, wanted, bounds)
    if not kind.__module__.startswith("controllers."):
        _try(kind, here, seed, length, plan.parameters)
    judges(wanted, rule, chosen.epochs, here.images.classes, measured=batch is not None)
    if preset:
        console.print(f"preset {preset}: {replace(plan, limits=limits).options()}", markup=False)
    passing = _passing(here, bounds, length)
    here = found_space.on(images_here.images, limits, bounds)
    if dry_run:
        _dry_run(Training(here, images_here, chosen, device, THREADS, child_timeout, batch), trials)
        console.print(passing, markup=False, end="")
        return
    _introduce(here, images_here, chosen, length, folder, passing, batch)
    trials_coming = begin(
        found_space, kind, images_here, folder,
        trials=trials, parameters=plan.parameters, recipe=chosen, reward=wanted, seed=seed, window=window,
        limits=limits, child_timeout=child_timeout, stop=rule, device=device, latency=latency,
        max_params=max_params, max_madds=max_madds, max_latency_ms=max_latency_ms,
        pool=pool_of(count, shared, address), patience=patience, unique=unique or math.inf,
        seconds=3600 * (hours or math.inf), device_seconds=3600 * (device_hours or math.inf),
    )  # fmt: skip
    if tensorboard:
        from nas.beside.tensorboard import boarded

        trials_coming = boarded(trials_coming, folder, old)
    why = watched(trials_coming, Progress(console, old, trials, here, unique or math.inf))
    own = "" if type(found_space).__module__.startswith("search_spaces.") else f" --space {shlex.quote(space)}"
    budgets = {"trials": trials, "unique": unique, "hours": hours, "device-hours": device_hours, "patience": patience}
    _conclude(here, folder, why, _doubled(why, budgets), own)


def show(
    folder: Annotated[Path, typer.Argument(help="Of a search.")],
    most: Annotated[int, typer.Option("--most", "-k", min=1, help="How many networks.")] = 5,
    cost: Annotated[
        str | None,
        typer.Option(show_default="madds", help="Of the Pareto front: params, madds, latency or memory."),
    ] = None,
) -> None:
    """The best networks of a search, block by block, the smallest as good, its Pareto front and its health."""
    from nas import health, ledger, names, recorded, summary

    against = names.cost(cost or "madds")
    header, trials = ledger.read(folder)
    _headline(header, trials)
    if not ledger.running(folder):
        console.print(_missing(trials), markup=False, end="")
    best = summary.best(trials, most)
    if not best:
        raise UserError(f"{folder}: found no trial with a reward, expected one at least; {health.mend(trials)}")
    console.print(_table(header, best))
    console.print(_smallest(header, trials), markup=False)
    front = summary.front(trials, against)
    if cost and not front:
        raise summary.lacking(folder, cost)
    if cost or len(front) > 1:
        console.print(_front(front, against))
    space = recorded.space(header, trials)
    for sentence in _health(header, trials, space, summary.random_rewards(space, trials) if space else None):
        console.print(sentence, markup=False)
    for trial in best:
        console.print(f"\ntrial {trial.trial}, network {trial.key}", style="bold", markup=False)
        for line in summary.described(trial.network):
            console.print(f"  {line}", markup=False)
        if trial.result and trial.result.latency_ms and trial.result.batch_latency_ms:
            console.print(_measured(trial.result, header.get("latency", 1)), markup=False)


def plot(
    folders: Annotated[list[Path], typer.Argument(help="Of one search, or of several to be compared.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The picture; reward.png, health.png or pareto.png in the (first) folder unless set."
        ),
    ] = None,
    what: Annotated[
        str,
        typer.Option(
            show_default="rewards and health of one search, rewards of several", help="rewards, health or pareto."
        ),
    ] = "",
    cost: Annotated[str, typer.Option(help="Of the Pareto front: params, madds, latency or memory.")] = "madds",
) -> None:
    """Draw rewards (every trial, running mean, best so far), health, or accuracy against a cost with its Pareto front.

    Seeds of one search become a band, or share a front.
    """
    from nas import names
    from nas.plot import plot as draw

    picture = out or folders[0] / f"{what if what in ('health', 'pareto') else 'reward'}.png"
    draw(folders, picture, what, cost=names.cost(cost))
    console.print(f"picture: {picture}", markup=False)


def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Of searches that differ in controller and seed only, random among them.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for comparison.json, .md and .png.")] = Path(
        "runs/comparison"
    ),
    budget: Annotated[
        int | None, typer.Option(min=1, help="Cut all searches to their first so many different networks.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A controller, as it is called here, to test all against besides random; may be repeated."),
    ] = None,
) -> None:
    """Compare controllers by ledgers of equal budgets: means, intervals, curves, paired tests against random search."""
    from nas import report
    from nas.compare import compare as compared

    searches = [folder for folder in folders if folder.resolve() != out.resolve()]  # where runs/* has the last one's
    if not searches:
        raise UserError(
            f"{out}: found no folder of a search, expected two or more beside the one to write to; name some"
        )
    figures = compared(searches, budget, against or [], f"{_command()} {shlex.join(sys.argv[1:])}")
    console.print(report.written(figures, out), markup=False)


def spaces() -> None:
    """The built-in spaces, with their parameters and sizes."""
    from nas import names

    table = Table("space", "what", "parameters", "networks at 32 x 32", box=None, pad_edge=False)
    for name, kind in names.spaces().items():
        table.add_row(name, _first_line(kind), _parameters(kind), str(kind().count()))
    console.print(table)


def controllers() -> None:
    """The built-in controllers, with their parameters, defaults and sources."""
    from nas import names

    for name, kind in names.controllers().items():
        text = sys.modules[kind.__module__].__doc__ or ""
        console.print(f"[bold]{name}[/]  {_parameters(kind, 3) or 'no parameters'}")
        console.print("  " + text.strip().replace("\n", "\n  ") + "\n", markup=False)


def presets() -> None:
    """The presets: what each stands for, the paper it follows, and where it departs from it."""
    from nas.preset import PRESETS

    for name, preset in PRESETS.items():
        console.print(f"[bold]{name}[/]  {preset.options()}")
        console.print("  " + preset.about.replace("\n", "\n  ") + "\n", markup=False)


def check(
    space: SpaceName,
    data: DataName = "digits",
) -> None:
    """Is this space sound? Examples, size, and what is wrong in plain words."""
    from nas import names
    from nas.check import check as examine
    from nas.data import native

    found = names.space(space)
    report = examine(found.on(native(data)))
    least, most = report.questions
    console.print(
        f"{found!r} is sound: {report.size or 'uncounted'} networks, {least} to {most} questions each", markup=False
    )
    for candidate in report.examples[:3]:
        console.print(
            f"  for example {shown(getattr(candidate.network, 'written', repr(candidate.network)))}", markup=False
        )
    for advice in report.advice:
        console.print(f"  note: {advice}", markup=False)


def _planned(
    preset: str | None, controller: str | None, settings: list[str], recipe: str | None, reward: str | None
) -> tuple[type[Any], Preset]:
    """The controller's class, and the preset with what options replace of it; without one, the defaults."""
    from nas import names

    base = names.preset(preset)
    kind, parameters = names.controller(base.controller if controller is None else controller, settings)
    if kind is names.controller(base.controller)[0]:
        parameters = {**base.parameters, **parameters}
    elif preset:
        console.print(
            f"preset {preset}: the controller is {controller}, so its parameters of {base.controller} are left out",
            markup=False,
        )
    plan = replace(
        base,
        controller=base.controller if controller is None else controller,
        parameters=parameters,
        recipe=base.recipe if recipe is None else recipe,
        reward=base.reward if reward is None else reward,
    )
    return kind, plan


def number_or_auto(option: str, typed: str, least: int) -> int | None:
    """None for auto."""
    if typed == "auto":
        return None
    if not typed.isdecimal() or len(typed) > 4 or int(typed) < least:
        raise UserError(f"{option}: found {typed!r}, expected a number{' from 1 on' * bool(least)}, or auto")
    return int(typed)


def check_workers(count: int | None, address: str | None) -> None:
    """Raise UserError for an address where nothing answers, and for more workers than this machine has memory for.

    count: None for all there are.
    """
    if address is not None:
        _check_address(address, count)
        return
    from nas.machine import memory

    most = memory() // A_WORKER
    if (count or 0) > max(1, most):
        raise UserError(
            f"--workers: found {count}, expected at most {most}, for each takes {A_WORKER // 2**20} MiB and more of "
            "this machine's memory; give fewer, or the --address of a cluster"
        )


def _check_address(address: str, workers: int | None) -> None:
    """Raise UserError unless something answers there: Ray itself waits for minutes, and then says little."""
    if workers == 0:
        raise UserError("--address: found it with --workers 0, which trains here, expected one of them; leave one out")
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port[:6]) < 2**16:
        raise UserError(f"--address: found {address!r}, expected auto or host:port, as in 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--address: found nothing that answers at {address} ({error}), expected a running Ray cluster; start one "
            "with `ray start --head`, or mend the address"
        ) from None


def _load(space: Space, typed: str, images: int | None, image_size: int | None, skip_corrupt: bool) -> Data:
    """The data; a folder's images as large as the space can use them."""
    from nas.check import sound
    from nas.data import load, native

    largest = None
    if typed.startswith("folder:") and image_size is None:
        largest = max(candidate.network.input_size for candidate in sound(space.on(native(typed))))
    with Counting(console, "decoding") as counting:
        return load(
            typed, images=images, largest=largest, image_size=image_size, skip_corrupt=skip_corrupt, progress=counting
        )


def pool_of(count: int | None, per_gpu: int | None, address: str | None) -> Any:
    from nas.pool import RayPool, Serial

    def serial(training: Training) -> Serial:
        training.prepare()  # so that a device that is not there is found before anything is written
        return Serial(training)

    return serial if count == 0 else partial(RayPool, workers=count, per_gpu=per_gpu, address=address)


def _folder_name(space: str, controller: str, data: str, seed: int) -> str:
    """What was typed, fit for a folder's name."""
    parts = [part.removeprefix("folder:").removeprefix("npz:") for part in (space, controller, data)]
    words = ["".join(c if c.isalnum() or c in "=.," else "_" for c in Path(part).name) for part in parts]
    return "-".join([*words, f"seed{seed}"])


def _try(kind: type[Any], space: Space, seed: int, length: int, parameters: Mapping[str, Any]) -> None:
    """Raise UserError for a controller of the user's that does not answer."""
    from nas.check import LONGEST, answers, deadline
    from nas.search import figures_of

    tried = answers(kind, space, seed, length, parameters)
    with deadline(LONGEST, f"{kind.__name__}.figures"):
        figures_of(tried, 0)


def _advise(rule: Rule | None, recipe: Recipe, reward: Reward) -> None:
    """Where stopping children early does not do what one may think."""
    from nas.reward import Priced

    if rule and recipe.epochs == 1:
        console.print("--stop: with one epoch no child can be stopped; give more --epochs", style="yellow")
    if rule and isinstance(reward, Priced):
        console.print(
            "--stop: children are stopped by their likelihood, whatever they cost: a cheap one may be stopped that "
            "would have had the highest reward",
            style="yellow",
        )


def _passing(space: Space, bounds: Bounds, length: int) -> str:
    """The share of random networks within bounds on parameters and multiply-adds, in a line; empty without these."""
    from nas.check import affordable

    known = replace(bounds, max_latency_ms=None)
    if not known.given:
        return ""
    share = affordable(space, bounds, length)
    if share is None:
        return (
            f"bounds: {known}; what share of random networks is within them is not known: a block is a torch module of "
            "your own, which is counted where it would be trained, or networks take long to write down\n"
        )
    if not share:
        return (
            f"bounds: {known}; none of the random networks that there was time for is within them: raise the bound, or "
            "offer smaller networks\n"
        )
    few = "; with so few, some trials find none: raise the bound, or give more --trials or smaller choices" * (
        share < 0.03
    )
    return f"bounds: {known}; {100 * share:.3g} % of random networks are within them{few}\n"


def _introduce(
    space: Space, data: Data, recipe: Recipe, trials: int, folder: Path, passing: str, latency: int | None
) -> None:
    from nas.check import counted
    from nas.data import summary

    console.print(summary(data), markup=False)
    seconds = _guess(space, data, recipe, trials, latency)
    limits = "".join(f", limit {name}={limit}" for name, limit in space.limits.items())
    console.print(f"space: {space!r}, {counted(space) or 'uncounted'} networks{limits}; ledger: {folder}", markup=False)
    console.print(passing, markup=False, end="")
    if seconds:
        console.print(
            f"at least {duration(seconds)} a child on a CPU core, {duration(seconds * trials)} for {trials} of them on "
            "one; workers take some seconds to start\n"
        )


def _guess(
    space: Space, data: Data, recipe: Recipe, trials: int, latency: int | None = None, children: int = 50
) -> float | None:
    """Seconds a child at least: multiply-adds at 40 G a second and core, and a third of a millisecond a block and pass.

    Training takes three passes a step, validation one; latency, where it is measured, those of `nas.latency.timed`.
    """
    import random

    from nas.latency import expected
    from nas.network import Network

    rng = random.Random(0)
    seconds = []
    for number in range(children):
        network = space.sample(rng, number * trials // children).network
        if not isinstance(network, Network) or not (costs := network.costs(data.images)):
            return None
        image, each = costs.madds / 4e10, len(network.blocks) / 3e3
        steps = len(data.train) // recipe.batch
        epoch = image * (3 * len(data.train) + len(data.valid)) + 3 * each * steps
        timed = sum(expected(many * image + each) for many in (1, latency)) if latency else 0.0
        seconds.append(recipe.epochs * epoch + timed)
    return sum(seconds) / len(seconds)


def watched(coming: Generator[One, None, Value], live: Live[One]) -> Value:
    """Show what comes; its value in the end. At Ctrl-C what comes is closed, which ends its workers."""
    try:
        while True:
            try:
                one = next(coming)
            except StopIteration as end:
                value: Value = end.value
                return value
            live.add(one)
    except KeyboardInterrupt:
        coming.close()
        console.print(f"\nstopped after {live.so_far()}; the same command goes on from here")
        raise typer.Exit(130) from None
    finally:
        live.close()


ENDED_BY = {
    "trials are done": "trials", "networks are trained": "unique", "device hours are spent": "device-hours",
    "hours are over": "hours",
}  # fmt: skip


def _doubled(why: str, budgets: Mapping[str, float | None]) -> str:
    """The option that the search ended by, with twice as much, as it is typed to go on; budgets: as they were typed."""
    name = next((name for words, name in ENDED_BY.items() if why.endswith(words)), "patience")
    return f"--{name} {2 * (budgets[name] or 0):.15g}"


def _conclude(space: Space, folder: Path, why: str, more: str, own: str) -> None:
    """The end of a search: why, picture, best networks, how good they really are, how to go on.

    more: the option with which the same command goes on.
    own: what further commands need to find a space of one's own; empty for a built-in one.
    """
    from nas import health, ledger, recorded, summary
    from nas.plot import plot as draw

    header, done = ledger.read(folder)
    console.print()
    _headline(header, done)
    console.print(f"it ended because {why}")
    best = summary.best(done)
    if not best:
        raise UserError(f"{folder}: found no child that trained, expected one at least; {health.mend(done)}")
    console.print(_table(header, best))
    console.print(_smallest(header, done), markup=False)
    draw([folder], folder / "reward.png", space=space)
    console.print(f"picture: {folder / 'reward.png'}", markup=False)
    here, nas = shlex.quote(str(folder)) + own, _command()
    alone = " --no-random" * bool(recorded.own_code(header))  # no random search can be made beside it
    again = f"the same command with {more}"
    console.print(f"go on:   {nas} finish {here}{alone}    {nas} report {here}    {again}", markup=False)
    drawn = summary.random_rewards(space, done)
    for sentence in _sentences(header, done, best, drawn) + _health(header, done, space, drawn):
        console.print(sentence, markup=False)


def _sentences(header: dict[str, Any], done: Sequence[Trial], best: Sequence[Trial], drawn: Any) -> list[str]:
    """How sure the best are, and what random sampling would have found; drawn: rewards of random networks."""
    from nas import summary

    images = header["validation"]
    accuracies = [trial.result.accuracy[-1] for trial in best if trial.result]
    low, high = summary.interval(min(accuracies), images)[0], summary.interval(max(accuracies), images)[1]
    least, most = f"{min(accuracies):.4f}", f"{max(accuracies):.4f}"
    several, they = (f"the {len(best)} best", "them") if len(best) > 1 else ("the best", "it")
    sentences = [
        f"{several}: validation accuracy {most if least == most else f'{least} to {most}'}, 95 % interval {low:.4f} to "
        f"{high:.4f} on {images:,} images, which chose {they} too: expect less on others; test images were not touched"
    ]
    if drawn is not None:
        sentences.append(summary.random_said(drawn, done))
    return sentences


def _health(header: dict[str, Any], done: Sequence[Trial], space: Space | None = None, drawn: Any = None) -> list[str]:
    """How the search does at its end, and what is wrong with it; drawn: rewards of random networks, None: unknown."""
    from nas.health import LAST, health, verdict

    wrong = verdict(done, header["length"], space, drawn)
    return [
        f"health, of the last {min(LAST, len(done))} trials: {health(done, drawn)}",
        *([wrong.sentence] if wrong else []),
    ]


def _headline(header: dict[str, Any], trials: Sequence[Trial]) -> None:
    failed = sum(trial.error is not None and trial.trained for trial in trials)
    refused = sum(trial.refused for trial in trials)
    of_these = f"{failed} failed, " + f"{refused} refused, " * bool(refused)
    repeats = sum(trial.same_as is not None for trial in trials)
    passed = duration(max((trial.at for trial in trials), default=0.0))
    console.print(
        f"{header['space']}, {header['controller']}, {header['data']}, seed {header['seed']}: {len(trials)} trials, "
        f"{repeats} repeats, {of_these}{_stopped(header, trials)}{passed}",
        markup=False,
    )


def _missing(trials: Sequence[Trial]) -> str:
    """The trials that the ledger has no line of though it has one of a later one, as a line; empty where all are there.

    They were under way when the search ended, or someone deleted their lines.
    """
    there = {trial.trial for trial in trials}
    gone = [number for number in range(max(there, default=0)) if number not in there]
    if not gone:
        return ""
    first = ", ".join(map(str, gone[:10])) + " and more" * (len(gone) > 10)
    return f"no line of trial {first}: the search's own command trains what is missing\n"


def _stopped(header: dict[str, Any], trials: Sequence[Trial]) -> str:
    """How many children were stopped, and what share of all epochs that saved; empty for a search without a rule."""
    from nas.summary import saved

    if not header.get("stop"):
        return ""
    count = sum(trial.stopped for trial in trials)
    return f"{count} stopped with {100 * saved(trials, header['recipe']['epochs']):.0f} % of epochs saved, "


_COLUMNS = ("parameters", "multiply-adds", "ms")  # columns; the last where latency is measured


def _costs(result: Result) -> list[str]:
    """What stands in these columns; empty texts for what is not known."""
    counts = ["" if count is None else f"{count:,}" for count in (result.params, result.madds)]
    return [*counts, f"{result.latency_ms[0]:.3g}" if result.latency_ms else ""]


def _measured(result: Result, batch: int) -> str:
    """What was measured of a network, in a line; batch: images at once."""
    one, many = (
        f"{median:.3g} ms ({lower:.3g} to {upper:.3g})"
        for median, lower, upper in (result.latency_ms, result.batch_latency_ms)
    )
    memory = (result.peak_memory or 0) / 1024
    return f"latency, median and quartiles: one image {one}, {batch} images {many}; peak memory {memory:,.0f} KiB"


def _table(header: dict[str, Any], best: Sequence[Trial]) -> Table:
    from nas.summary import interval

    costs = _COLUMNS[: 3 if header.get("latency") else 2]
    table = Table("", "validation accuracy", "95 %", "reward", *costs, "trial", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for place, trial in enumerate(best, 1):
        result = trial.result
        assert result is not None
        low, high = interval(result.accuracy[-1], header["validation"])
        table.add_row(
            str(place),
            f"{result.accuracy[-1]:.4f}",
            f"{low:.3f}–{high:.3f}",
            f"{trial.reward:.4f}",
            *_costs(result)[: len(costs)],
            str(trial.trial),
        )
    return table


def _smallest(header: dict[str, Any], trials: Sequence[Trial]) -> str:
    """The smallest network that is as good as the best, as far as the validation images can tell, in a sentence."""
    from nas.summary import best, smallest, smallest_said

    found, said = smallest(trials, header["validation"]), smallest_said(trials, header["validation"])
    is_another = found is not None and found.trial != best(trials, 1)[0].trial
    return f"{said}: {shown(found.network)}" if found and is_another else said


def _front(front: Sequence[Trial], cost: str, most: int = 10) -> Table:
    """The Pareto front, the highest accuracy first; of a long one so many networks, spread over it."""
    from nas.reward import COSTS

    table = Table("Pareto front: accuracy", COSTS[cost], "trial", "network", box=None)
    for column in table.columns[:3]:
        column.justify = "right"
    for place in sorted({round(row * (len(front) - 1) / (most - 1)) for row in range(most)}, reverse=True):
        trial = front[place]
        assert trial.result is not None
        figures = f"{trial.result.accuracy[-1]:.4f}", f"{trial.result.cost(cost):,}", str(trial.trial)
        table.add_row(*figures, escape(plain(shown(trial.network))))
    return table


def _dry_run(train: Training, trials: int, children: int = 10) -> None:
    """Train random children in this process and say what the whole would take."""
    import random

    from nas.machine import cores
    from nas.pool import Job

    rng = random.Random(0)
    costs = _COLUMNS[: 3 if train.latency else 2]
    table = Table("child", "seconds", "accuracy", *costs, "network", box=None)
    seconds = []
    for number in range(children):
        candidate = train.space.sample(rng, number * trials // children)
        result = train(Job(number, candidate.answers, number))
        seconds.append(result.seconds)
        accuracy = escape(result.error) if result.error else f"{result.accuracy[-1]:.4f}"
        written = shown(getattr(candidate.network, "written", repr(candidate.network)))
        row = str(number), f"{result.seconds:.2f}", plain(accuracy), *_costs(result)[: len(costs)]
        table.add_row(*row, escape(plain(written)))
    console.print(table)
    whole = sum(seconds) / len(seconds) * trials
    console.print(f"{trials} trials: about {duration(whole)} on one worker, {duration(whole / cores())} on {cores()}")


def _parameters(kind: type[Any], beside: int = 0) -> str:
    from nas.names import parameters

    return ", ".join(f"{name}={p.default}" for name, p in parameters(kind, beside).items())


def _first_line(kind: type[Any]) -> str:
    return (sys.modules[kind.__module__].__doc__ or kind.__doc__ or "").strip().splitlines()[0]


def _command() -> str:
    """What to type for this program: `nas` where the shell finds it."""
    if shutil.which("nas"):
        return "nas"
    return "python -m nas" if sys.argv[0].endswith(".py") else shlex.quote(os.path.relpath(sys.argv[0]))
