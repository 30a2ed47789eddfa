"""The command line's `finish`: what it shows of a search's way to a model. Nothing heavy is imported early."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nas.cli import check_workers, console, number_or_auto, pool_of
from nas.progress import Counting, Terminal, duration

if TYPE_CHECKING:
    from nas.ledger import Trial
    from nas.model.trainings import Step

WIDE = 124  # characters that the table of all figures takes


def finish(
    folder: Annotated[Path, typer.Argument(help="Of a search that is over.")],
    top: Annotated[int, typer.Option(min=1, max=1000, help="How many of its networks are trained again.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="How often each network is trained.")] = 3,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", "-e", min=1, show_default="12, or four times the search's", help="Of each training."),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            show_default="as suits the data; yes for one's own",
            help="Whether images are mirrored left and right in training.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="A random search with as many networks, on the same terms; made unless given."),
    ] = None,
    no_random: Annotated[bool, typer.Option("--no-random", help="No random search beside this one.")] = False,
    space: Annotated[
        str | None, typer.Option(help="The search's space where it is no built-in one: file.py:Class.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="Where the images are now, if they moved.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="As for the search: pixels a side of a folder's images.")
    ] = None,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="As for the search: go on without unreadable files.")
    ] = False,
    workers: Annotated[
        str, typer.Option("--workers", "-w", help="Trainings at once; auto: all there are; 0: one, without Ray.")
    ] = "auto",
    per_gpu: Annotated[str, typer.Option(help="Trainings that share a GPU; auto: what the first ones show.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster, as host:port or auto.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a search's best network in full, beside well-known ones; test all once; leave the model in FOLDER/model.

    The same command again goes on where it was stopped, and shows the figures when all is done.
    """
    from nas import names
    from nas.model.finish import finish as begin
    from nas.model.searched import searched

    names.device(device)
    count = number_or_auto("--workers", workers, 0)
    check_workers(count, address)
    pool = pool_of(count, number_or_auto("--per-gpu", per_gpu, 1), address)
    own = names.space(space) if space else None
    with Counting(console, "decoding") as counting:
        search = searched(folder, own, data, image_size, skip_corrupt, counting)
    if search.short:
        console.print(search.short, markup=False, style="yellow")
    console.print(
        f"of {len(search.trials)} trials the {top} best, {seeds} seeds each; ledger: {folder / 'finish'}", markup=False
    )
    coming = begin(
        search, top=top, seeds=seeds, epochs=epochs, flip=flip, baseline=baseline, random=not no_random,
        device=device, pool=pool,
    )  # fmt: skip
    _show(_watch(coming), folder)


def _watch(coming: Generator[Trial | Step, None, dict[str, Any]]) -> dict[str, Any]:
    """Show trainings as they finish; the figures in the end."""
    live = Live()
    try:
        while True:
            try:
                live.add(next(coming))
            except StopIteration as end:
                found: dict[str, Any] = end.value
                return found
    except KeyboardInterrupt:
        coming.close()  # ends the workers
        console.print("\nstopped; the same command goes on from here")
        raise typer.Exit(130) from None
    finally:
        live.close()


class Live:
    """A line for each training, and on a terminal one more of how far all is."""

    def __init__(self) -> None:
        self.begun, self.share = time.monotonic(), math.nan  # when trainings were begun, and what was done soon after
        self.random = 0  # networks of the random search
        self.status = console.status("starting workers ...") if console.is_terminal else None
        if self.status:
            self.status.start()

    def add(self, one: Trial | Step) -> None:
        """Show what has finished."""
        from nas.model.trainings import Step

        if isinstance(one, Step):
            self._trained(one)
        elif one.trained:
            self.random += 1
            self.begun = time.monotonic()
            text = f"random search beside it: {self.random} networks"
            if self.status:
                self.status.update(text)
            elif self.random % 10 == 0:
                console.print(text)

    def close(self) -> None:
        """Take the live line away."""
        if self.status:
            self.status.stop()

    def _trained(self, step: Step) -> None:
        from nas.model.training import RANK

        of = step.trained
        kind = "trained again" if of.part == RANK else "trained in full"
        result = "" if of.accuracy is None else f", validation accuracy {of.accuracy:.4f}"
        result += f", failed: {of.error}" if of.error else ""
        text = f"{step.done} of {step.total}: {step.name}, seed {of.seed}, {kind} in {duration(of.seconds)}{result}"
        console.print(text, markup=False)
        if self.status:
            self.status.update(f"{step.done} of {step.total} trainings, {self._left(step.share)} left")

    def _left(self, share: float) -> str:
        """How long the rest will take; "?" after the first training, for earlier runs may have done much of all."""
        if math.isnan(self.share):
            self.begun, self.share = time.monotonic(), share
        new = share - self.share
        return duration((time.monotonic() - self.begun) * (1 - share) / new if new else math.inf)


def _show(found: dict[str, Any], folder: Path) -> None:
    """The ranking, the table, who won, and what to do with it."""
    from nas.model import MODEL
    from nas.model.card import RANKING, ranking
    from nas.model.judge import COLUMNS, table

    console.print("\nthe search's best networks, trained again:")
    console.print(_table(RANKING, ranking(found["ranking"])))
    if found["random"]:
        console.print("\nthe same of the random search:")
        console.print(_table(RANKING, ranking(found["random"])))
    images = found["images"]["test"]
    console.print(f"\non {images:,} test images, in percent, means of {found['seeds']} seeds:")
    wide = Terminal(highlight=False, soft_wrap=True, width=max(WIDE, console.width))
    wide.print(_table(COLUMNS, table(found["rows"])))
    for sentence in found["verdict"]:
        console.print(sentence, markup=False)
    console.print(f"model: {folder / MODEL}", markup=False)


def _table(columns: tuple[str, ...], rows: list[list[str]]) -> Table:
    from rich.text import Text

    from nas.errors import plain

    shown = Table(*columns, box=None)
    for column in shown.columns[1:]:
        column.justify = "right"
    for row in rows:
        shown.add_row(*(Text(plain(cell)) for cell in row))
    return shown
