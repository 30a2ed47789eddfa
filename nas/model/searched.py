"""A search that is over, found again by its folder: its ledger, its images and its space."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nas import ledger, recorded
from nas.data import Data, load
from nas.errors import UserError
from nas.folder import Progress
from nas.health import mend
from nas.ledger import FILE, Trial
from nas.reward import Reward
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
    def reward(self) -> Reward | None:
        """Its reward, if that is a built-in one; None for one's own, whose code a ledger does not have."""
        return recorded.reward(self.header)

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

    data: where the images are now, if they have moved.  image_size, skip_corrupt: as its ledger has them, unless given.
    Raises UserError if it is still under way, has no trained network, or its images or space are others now.
    """
    header, trials = ledger.read(folder)
    _check_over(folder)
    _check_trained(folder, trials)
    spec = data or _still_there(folder, header["data"])
    found = space or recorded.space({**header, "data": spec}, trials)
    images, options = _images(folder, header, spec, found, image_size, skip_corrupt, progress)
    if found is None:
        raise recorded.unknown(header, folder)
    found = recorded.as_searched(found, images.images, header)
    if space is not None:
        found = recorded.held(found, header, trials, folder)
    return Search(folder, header, trials, found, images, options)


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
    loaded = header.get("loaded") or {}  # older ledgers do not say
    options: dict[str, Any] = {
        "largest": loaded["largest"] if loaded else _largest(spec, space, image_size),
        "image_size": image_size or loaded.get("image_size"),
        "skip_corrupt": skip_corrupt or loaded.get("skip_corrupt", False),
    }
    both = header["training"] + header["validation"]
    guessed = (both, header["training"])  # as --images had it; the last where validation images are marked
    for images in (None, *([loaded["images"]] if loaded else guessed)):  # with None first it says what is wrong
        try:
            data = load(spec, **options, images=images, progress=progress)
        except UserError:
            if images is None:
                raise
            continue
        if data.fingerprint == header["fingerprint"]:
            return data, options | {"images": images}
    own = "" if loaded else ", or give the search's own --image-size and --skip-corrupt"
    raise UserError(
        f"{folder}: found other images in {spec} than those of the search, expected the same; restore them, or say "
        f"where they are now with --data{own}"
    )


def _still_there(folder: Path, spec: str) -> str:
    """The name of the search's data; raises UserError if it is a path where nothing is."""
    kind, _, path = spec.partition(":")
    if kind not in ("folder", "npz") or os.path.exists(os.path.expanduser(path)):  # noqa: PTH110, PTH111 - these never raise
        return spec
    raise UserError(
        f"{folder}: found nothing at {path}, expected the images of the search there; say where they are now with "
        f"--data {kind}:PATH"
    )


def _largest(spec: str, space: Space | None, image_size: int | None) -> int | None:
    """To what side a folder's images were decoded, as `nas search` does it; None for their own."""
    if not spec.startswith("folder:") or image_size is not None or space is None:
        return None
    from nas.check import sound
    from nas.data import native

    return max(candidate.network.input_size for candidate in sound(space.on(native(spec))))
