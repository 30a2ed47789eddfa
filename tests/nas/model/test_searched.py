"""A search found again by its folder, and what is said where it, its images or its space are not there."""

import fcntl
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from controllers.random_search import RandomSearch
from nas.blocks import Block
from nas.data import Data, load
from nas.errors import UserError
from nas.ledger import FILE, sealed, unsealed
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
    mend = rf"give --space \S*{__name__.rpartition('.')[2]}\S*:Own:depth=1,"
    with pytest.raises(UserError, match=rf"found a search of Own\(depth=1\), expected a built-in .* {mend}"):
        searched(own)
    found = searched(own, Own())
    assert isinstance(found, Search)
    assert found.network(found.trials[0]).key == found.trials[0].key
    with pytest.raises(
        UserError, match=r"found a search of Own\(depth=1\), expected one of Own\(depth=2\) .*:Own:depth=1"
    ):
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
    with pytest.raises(UserError, match=r"npz: found nothing at \S*one.npz, expected the images .* --data npz:PATH"):
        searched(folder)
    assert searched(folder, data=f"npz:{tmp_path / 'moved.npz'}").data.fingerprint == data.fingerprint
    np.savez(tmp_path / "one.npz", x=255 - pixels, y=labels)
    with pytest.raises(UserError, match=r"found other images in npz:.* than those of the search, expected the same"):
        searched(folder)


def photos(folder: Path) -> str:
    """A folder of twelve images of 20 pixels in two classes, and one file that is none."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(rng.integers(0, 256, (20, 20), np.uint8)).save(folder / name / f"{number}.png")
    (folder / "cat" / "torn.png").write_bytes(b"no image")
    return f"folder:{folder}"


def of_photos(folder: Path, spec: str, **options: Any) -> Data:
    data = load(spec, skip_corrupt=True, **options)
    for _ in search(Chain(), RandomSearch, data, folder, trials=1, window=1, pool=lambda _: Serial(looked_up)):
        pass
    return data


@pytest.mark.parametrize("options", [{"image_size": 12, "images": 8}, {"largest": 9}, {}])
def test_images_are_loaded_as_the_search_had_them_wherever_they_are(tmp_path: Path, options: dict[str, int]) -> None:
    data = of_photos(tmp_path / "search", photos(tmp_path / "photos"), **options)
    found = searched(tmp_path / "search")
    assert found.data.fingerprint == data.fingerprint
    assert found.images == {"largest": None, "image_size": None, "images": None, "skip_corrupt": True} | options
    (tmp_path / "photos").rename(tmp_path / "moved")
    assert searched(tmp_path / "search", data=f"folder:{tmp_path / 'moved'}").data.fingerprint == data.fingerprint


def test_an_older_search_that_does_not_say_how_its_images_were_loaded_is_told(tmp_path: Path) -> None:
    data = of_photos(tmp_path, photos(tmp_path / "photos"), image_size=12)
    header, *trials = (unsealed(line) for line in (tmp_path / FILE).read_bytes().splitlines())
    del header["loaded"]
    (tmp_path / FILE).write_bytes(b"".join(sealed(record) for record in (header, *trials)))
    with pytest.raises(UserError, match="found 1 files that cannot be read"):
        searched(tmp_path)
    with pytest.raises(UserError, match=r"found other images .* or give the search's own --image-size"):
        searched(tmp_path, skip_corrupt=True)
    assert searched(tmp_path, skip_corrupt=True, image_size=12).data.fingerprint == data.fingerprint
