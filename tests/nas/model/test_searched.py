"""A search found again by its folder, and what is said where it, its images or its space are not there."""

import fcntl
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from controllers.random_search import RandomSearch
from nas.blocks import Block
from nas.data import load
from nas.errors import UserError
from nas.ledger import FILE
from nas.model.searched import Search, searched
from nas.network import Network
from nas.pool import Job, Serial
from nas.reward import Result
from nas.search import search
from nas.space import Choice, Pick, Space
from search_spaces.chain import Chain


class Own(Space):
    """Three networks."""

    width = Choice(2, 4, 8)

    def __init__(self, depth: int = 1) -> None:
        self.depth = depth

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width)),) * self.depth)


def looked_up(job: Job) -> Result:
    return Result((0.1 + job.trial / 100,), (1.0,))


def failing(job: Job) -> Result:
    return Result(error="exception: no room today")


def left(folder: Path, space: Space, images: int | None = 200, trials: int = 3, train: object = looked_up) -> Path:
    """A search of so many trials, in which nothing is trained."""
    pool = lambda training: Serial(train)  # type: ignore[arg-type]  # noqa: E731
    for _ in search(space, RandomSearch, load("digits", images=images), folder, trials=trials, window=1, pool=pool):
        pass
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return left(tmp_path_factory.mktemp("search") / "chain", Chain())


def test_a_search_of_a_part_of_the_images_is_found_with_that_part(folder: Path) -> None:
    found = searched(folder)
    assert (len(found.data.train), len(found.data.valid), found.images["images"]) == (160, 40, 200)
    assert found.network(found.trials[0]).key == found.trials[0].key
    assert found.short == ""


def test_a_search_of_all_images_is_found_with_all(tmp_path: Path) -> None:
    found = searched(left(tmp_path / "all", Chain(), images=None))
    assert (len(found.data.train), found.images["images"]) == (1199, None)


def test_a_search_that_is_not_at_its_end_is_said_to_be(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "short")
    ledger = tmp_path / "short" / FILE
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:2]))
    assert "found 1 of 3 trials, and goes on with these; to search to the end" in searched(tmp_path / "short").short


def test_a_search_under_way_is_refused(folder: Path) -> None:
    with (folder / FILE).open("ab") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        with pytest.raises(UserError, match="found its search still under way, expected it to be over"):
            searched(folder)


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no ledger.jsonl, expected the folder of a search"):
        searched(tmp_path)


def test_a_search_without_a_trial_is_refused(folder: Path, tmp_path: Path) -> None:
    header, *_ = (folder / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(header)
    with pytest.raises(UserError, match="found no child that trained among 0 trials, expected one; give it more time"):
        searched(tmp_path)


@pytest.mark.parametrize(("trials", "mend"), [(2, "the last error is .* mend what fails"), (12, "no room today")])
def test_a_search_in_which_all_failed_is_refused(tmp_path: Path, trials: int, mend: str) -> None:
    with pytest.raises(UserError, match=f"found no child that trained among {trials} trials, expected one; .*{mend}"):
        searched(left(tmp_path / "failed", Chain(), trials=trials, train=failing))


def test_a_space_of_ones_own_is_asked_for_and_taken(tmp_path: Path) -> None:
    own = left(tmp_path / "own", Own())
    with pytest.raises(UserError, match=r"found a search of Own\(depth=1\), which is no built-in space .* --space"):
        searched(own)
    found = searched(own, Own())
    assert isinstance(found, Search)
    assert found.network(found.trials[0]).key == found.trials[0].key
    with pytest.raises(UserError, match=r"found a search of Own\(depth=1\), expected one of Own\(depth=2\)"):
        searched(own, Own(2))


def test_images_that_are_gone_or_others_are_refused_and_moved_ones_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "one.npz", x=pixels, y=labels)
    folder, pool = tmp_path / "npz", lambda training: Serial(looked_up)
    data = load(f"npz:{tmp_path / 'one.npz'}")
    for _ in partial(search, Chain(), RandomSearch, data)(folder, trials=2, window=1, pool=pool):
        pass
    (tmp_path / "one.npz").rename(tmp_path / "moved.npz")
    with pytest.raises(UserError, match=r"one.npz: found no"):
        searched(folder)
    assert searched(folder, data=f"npz:{tmp_path / 'moved.npz'}").data.fingerprint == data.fingerprint
    np.savez(tmp_path / "one.npz", x=255 - pixels, y=labels)
    with pytest.raises(UserError, match=r"found other images in npz:.* than those of the search, expected the same"):
        searched(folder)
