"""The command line's `finish`: what it shows of a search's way to a model. Nothing heavy is imported early."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from nas.cli import check_workers, console, number_or_auto, pool_of, watched
from nas.progress import Counting, Live, Terminal, duration

if TYPE_CHECKING:
    from nas.ledger import Trial
    from nas.model.searched import Search
    from nas.model.trainings import Step

WIDE = 124  # characters that the table of all figures takes


def finish(
    folder: Annotated[Path, typer.Argument(help="Of a search that is over.")],
    top: Annotated[
        int | None, typer.Option(min=1, max=1000, show_default="5", help="How many of its networks are trained again.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, show_default="3", help="How often each network is trained.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", "-e", min=1, show_default="12, or four times the search's", help="Of each training."),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            show_default="as suits the data; of one's own, if in colour",
            help="Whether images are mirrored left and right in training.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(help="A random search with as many networks, on the same terms; made unless given."),
    ] = None,
    random: Annotated[
        bool | None,
        typer.Option("--random/--no-random", show_default="random", help="Whether a random search is held beside it."),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="The search's space where it is no built-in one: file.py:Class.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", "-d", help="Where the images are now, if they moved.")] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, show_default="the search's", help="Pixels a side of a folder's images.")
    ] = None,
    skip_corrupt: Annotated[
        bool,
        typer.Option("--skip-corrupt", help="Go on without a folder's unreadable files, even if the search had none."),
    ] = False,
    workers: Annotated[
        str, typer.Option("--workers", "-w", help="Trainings at once; auto: all there are; 0: one, without Ray.")
    ] = "auto",
    per_gpu: Annotated[str, typer.Option(help="Trainings that share a GPU; auto: what the first ones show.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster, as host:port or auto.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Train a search's best network in full, beside well-known ones; test all once; leave the model in FOLDER/model.

    Run again it goes on where it was stopped, with the options that it was begun with, but --space of one's own, --data
    and what names a machine are typed again; when all is done, it shows the figures, and writes the model anew if that
    is damaged or gone.
    """
    from nas import compare, ledger, names
    from nas.model import rival
    from nas.model.finish import finish as begin
    from nas.model.lines import FILE, FOLDER, Lines
    from nas.model.options import settled
    from nas.model.searched import searched

    names.device(device)
    count = number_or_auto("--workers", workers, 0)
    check_workers(count, address)
    pool = pool_of(count, number_or_auto("--per-gpu", per_gpu, 1), address)
    own = names.space(space) if space else None
    if random is not False and not baseline and not (folder / FOLDER / FILE).exists():
        header, _ = ledger.read(folder)
        if header["controller"] != compare.RANDOM:
            rival.check(folder, header)  # before images are decoded
    with Counting(console, "decoding") as counting:
        search = searched(folder, own, data, image_size, skip_corrupt, counting)
    if search.short:
        console.print(search.short, markup=False, style="yellow")
    with Lines(folder / FOLDER / FILE) as lines:
        given = settled(search, lines, top=top, seeds=seeds, epochs=epochs, flip=flip, random=random,
                        baseline=str(baseline.resolve()) if baseline else None)  # fmt: skip
    console.print(_introduced(search, given), markup=False)
    _show(watched(begin(search, **given, device=device, pool=pool), Shown(*_at_random(search))), folder)


def _introduced(search: Search, given: dict[str, Any]) -> str:
    """What will be trained, in a line."""
    from nas.model.judge import seeds_each
    from nas.model.lines import FOLDER

    most = f"the {given['top']} best" if given["top"] > 1 else "the best"
    epochs = f"{given['epochs']} epoch{'s'[: given['epochs'] != 1]}"
    mirrored = f"images {'mirrored too' if given['flip'] else 'not mirrored'} (--{'no-' * given['flip']}flip otherwise)"
    return (
        f"of {len(search.trials)} trials {most}, {seeds_each(given['seeds'])}, {epochs}, {mirrored}; ledger: "
        f"{search.folder / FOLDER}"
    )


def _at_random(search: Search) -> tuple[int, int]:
    """How many networks the random search beside a search has in the end, and how many of these are made."""
    from nas.compare import trained
    from nas.ledger import begun
    from nas.model.lines import FOLDER, RANDOM

    return len(trained(search.trials)), len(trained(begun(search.folder / FOLDER / RANDOM)[1]))


class Shown(Live["Trial | Step"]):
    """A line for each training, and on a terminal one more of how far all is."""

    def __init__(self, wanted: int, made: int = 0) -> None:
        super().__init__(console)
        self.wanted = wanted  # networks of the random search, of which so many are made
        self.begun, self.share = time.monotonic(), math.nan  # when trainings were begun, and what was done soon after
        self.random, self.ended = made, 0  # networks of the random search; trainings after it, earlier runs' too

    def add(self, one: Trial | Step) -> None:
        """Show what has finished."""
        from nas.model.trainings import Step

        if isinstance(one, Step):
            self._trained(one)
        elif one.trained:
            self.random += 1
            self.begun = time.monotonic()
            text = f"random search beside it: {self.random} of {self.wanted} networks"
            if self.status:
                self.status.update(text)
            elif self.random % 10 == 0 or self.random == self.wanted:
                console.print(text)

    def so_far(self) -> str:
        """Trainings, those of a random search too."""
        done = self.random + self.ended
        return f"{done} training{'s'[: done != 1]}"

    def _trained(self, step: Step) -> None:
        from nas.model.training import RANK

        of, self.ended = step.trained, step.done
        kind = "trained again" if of.part == RANK else "trained in full"
        result = "" if of.accuracy is None else f", validation accuracy {of.accuracy:.4f}"
        result += "" if of.reward is None else f", reward {of.reward:.4f}"
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
    from nas.model.contest import ranking_table
    from nas.model.judge import COLUMNS, of_seeds, table
    from nas.model.saved import warning

    wide = Terminal(highlight=False, soft_wrap=True, width=max(WIDE, console.width))
    console.print(
        f"\nthe search's best networks, trained again, ranked {found.get('ranked', 'by validation accuracy')}:",
        markup=False,
    )
    wide.print(_table(*ranking_table(found["ranking"])))
    if found["random"]:
        console.print("\nthe same of the random search:")
        wide.print(_table(*ranking_table(found["random"])))
    images = found["images"]["test"]
    console.print(f"\non {images:,} test images, in percent, {of_seeds(found['seeds'])}:")
    wide.print(_table(COLUMNS, table(found["rows"])))
    for sentence in found["verdict"]:
        console.print(sentence, markup=False)
    console.print(f"model: {folder / MODEL}", markup=False)
    if said := warning(folder / MODEL):
        console.print(said, markup=False)


def _table(columns: Sequence[str], rows: list[list[str]]) -> Table:
    from rich.text import Text

    from nas.errors import plain

    shown = Table(*columns, box=None)
    for column in shown.columns[1:]:
        column.justify = "right"
    for row in rows:
        shown.add_row(*(Text(plain(cell)) for cell in row))
    return shown
