"""A search that is over, found again by its folder: its ledger, its images and its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nas import ledger, names
from nas.data import Data, load
from nas.errors import UserError
from nas.folder import Progress
from nas.health import mend
from nas.ledger import FILE, Trial
from nas.search import replayed
from nas.space import Child, Space
from nas.summary import best


class Search(NamedTuple):
    """What a search left, and what it ran on."""

    folder: Path
    header: dict[str, Any]
    trials: list[Trial]
    space: Space
    data: Data
    images: Mapping[str, Any]  # what `nas.data.load` was given, but for the name of the data

    def network(self, trial: Trial) -> Child:
        """The network of a trial; raises UserError if the space's code builds another one now."""
        return replayed(self.space, trial, self.folder / FILE).network

    @property
    def short(self) -> str:
        """What is missing of its trials, as a sentence; empty where none is."""
        found, wanted = len(self.trials), self.header["length"]
        if found >= wanted:
            return ""
        return (
            f"{self.folder}: found {found} of {wanted} trials, and goes on with these; to search to the end first, "
            "run the search's own command again"
        )


def searched(
    folder: Path,
    space: Space | None = None,
    data: str | None = None,
    image_size: int | None = None,
    skip_corrupt: bool = False,
    progress: Progress | None = None,
) -> Search:
    """The search in this folder. space: as it was searched, where it is no built-in one.

    data: where the images are now, if they have moved.  image_size, skip_corrupt: as for the search.
    Raises UserError if it is still under way, has no trained network, or its images or space are others now.
    """
    header, trials = ledger.read(folder)
    _check_over(folder)
    _check_trained(folder, trials)
    spec = data or header["data"]
    found = space or names.searched({**header, "data": spec}, trials)
    images, options = _images(folder, header, spec, found, image_size, skip_corrupt, progress)
    return Search(folder, header, trials, _space(folder, header, found, images), images, options)


def _space(folder: Path, header: Mapping[str, Any], found: Space | None, data: Data) -> Space:
    """The space on the search's images and under its limits, if it is the search's."""
    if found is None:
        raise UserError(
            f"{folder}: found a search of {header['space']}, which is no built-in space as it is now, expected "
            "--space to name it, as in --space mine.py:Small"
        )
    if repr(found) != header["space"]:
        raise UserError(
            f"{folder}: found a search of {header['space']}, expected one of {found!r} as in this command; give "
            "--space as the search had it, with its parameters"
        )
    return found.on(data.images, names.recorded_limits(header))


def _check_trained(folder: Path, trials: Sequence[Trial]) -> None:
    """Raise UserError if the search has no network."""
    if best(trials):
        return
    raise UserError(f"{folder}: found no child that trained among {len(trials)} trials, expected one; {mend(trials)}")


def _check_over(folder: Path) -> None:
    """Raise UserError if a search writes there now."""
    if ledger.running(folder):
        raise UserError(
            f"{folder}: found its search still under way, expected it to be over; wait for its end, or stop it with "
            "Ctrl-C"
        )


def _images(
    folder: Path,
    header: Mapping[str, Any],
    spec: str,
    space: Space | None,
    image_size: int | None,
    skip_corrupt: bool,
    progress: Progress | None,
) -> tuple[Data, dict[str, Any]]:
    """The images that the search had, and the options that load them."""
    options: dict[str, Any] = {"largest": _largest(spec, space, image_size), "image_size": image_size}
    options |= {"skip_corrupt": skip_corrupt}
    both = header["training"] + header["validation"]
    for images in (None, both, header["training"]):  # as --images had it; the last where validation images are marked
        try:
            data = load(spec, **options, images=images, progress=progress)
        except UserError:
            if images is None:
                raise
            continue
        if data.fingerprint == header["fingerprint"]:
            return data, options | {"images": images}
    raise UserError(
        f"{folder}: found other images in {spec} than those of the search, expected the same; restore them, say where "
        "they are now with --data, or give the search's own --image-size and --skip-corrupt"
    )


def _largest(spec: str, space: Space | None, image_size: int | None) -> int | None:
    """To what side a folder's images were decoded, as `nas search` does it; None for their own."""
    if not spec.startswith("folder:") or image_size is not None or space is None:
        return None
    from nas.check import sound
    from nas.data import native

    return max(candidate.network.input_size for candidate in sound(space.on(native(spec))))
