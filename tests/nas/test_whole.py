"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nas.errors import UserError
from nas.whole import whole_file


def test_what_is_written_takes_the_files_place_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.txt"
    with whole_file(file) as unfinished:
        unfinished.write_text("first")
        assert not file.exists()
        assert unfinished.suffix == ".txt"
    with whole_file(file) as unfinished:
        unfinished.write_text("second")
        assert file.read_text() == "first"
    assert file.read_text() == "second"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_was_there_stays_if_writing_ends_in_the_middle(tmp_path: Path, error: type[BaseException]) -> None:
    file = tmp_path / "a.txt"
    file.write_text("first")

    def write() -> None:
        with whole_file(file) as unfinished:
            unfinished.write_text("sec")
            raise error

    with pytest.raises(error):
        write()
    assert file.read_text() == "first"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["there", "a.txt/b.txt", "a" * 300])
def test_what_cannot_be_written_is_said_with_how_to_mend_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a.txt").touch()
    with (
        pytest.raises(UserError, match=r"found .*, expected a table; name another$"),
        whole_file(tmp_path / name, "a table; name another") as unfinished,
    ):
        unfinished.write_text("all of it")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "there"]


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with whole_file(tmp_path / "link") as unfinished:
        unfinished.write_text("all of it")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "all of it"


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(tmp_path / "pipe") as unfinished:
        unfinished.write_text("all of it")
    assert os.read(reading, 100) == b"all of it"
    os.close(reading)
    assert (tmp_path / "pipe").is_fifo()
