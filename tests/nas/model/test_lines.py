"""The ledger of a finish, as it is written, torn, damaged and fought over."""

from pathlib import Path

import pytest

from nas.errors import UserError
from nas.ledger import sealed
from nas.model.lines import Lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """With a header and two records."""
    path = tmp_path / "finish" / "trainings.jsonl"
    with Lines(path) as lines:
        lines.begin({"seeds": 3})
        lines.append({"key": "a"})
        lines.append({"key": "b"})
    return path


def records(path: Path) -> list[dict[str, object]]:
    with Lines(path) as lines:
        return lines.records


def test_what_was_appended_is_read_again(path: Path) -> None:
    with Lines(path) as lines:
        assert lines.header == {"format": 1, "seeds": 3}
        assert lines.records == [{"key": "a"}, {"key": "b"}]


@pytest.mark.parametrize("tail", [sealed({"key": "c"})[:9], b"{", b"\0\0\0", b""])
def test_a_torn_last_line_is_dropped(path: Path, tail: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert records(path) == [{"key": "a"}, {"key": "b"}]
    assert path.read_bytes() == whole


def test_a_whole_last_line_gets_its_line_break(path: Path) -> None:
    path.write_bytes(path.read_bytes() + sealed({"key": "c"})[:-1])
    assert records(path)[-1] == {"key": "c"}
    assert path.read_bytes().endswith(sealed({"key": "c"}))


@pytest.mark.parametrize(("old", "new", "line"), [(b'"a"', b'"x"', 2), (b'"seeds"', b'"SEEDS"', 1)])
def test_a_damaged_line_is_named(path: Path, old: bytes, new: bytes, line: int) -> None:
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(UserError, match=f"trainings.jsonl, line {line}: found a damaged line .*, expected one JSON"):
        Lines(path)


def test_a_tail_that_is_no_line_is_damage(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"hello")
    with pytest.raises(UserError, match="line 4: found a damaged line"):
        Lines(path)


def test_a_file_without_its_header_is_damage(path: Path) -> None:
    path.write_bytes(path.read_bytes().partition(b"\n")[2])
    with pytest.raises(UserError, match=r"line 1: found a damaged line \(it is no header\)"):
        Lines(path)


def test_a_second_writer_is_refused(path: Path) -> None:
    with Lines(path), pytest.raises(UserError, match="found another `nas finish` writing here"):
        Lines(path)


def test_another_header_is_refused_by_the_field_that_differs(path: Path) -> None:
    with Lines(path) as lines:
        lines.check({"seeds": 3})
        with pytest.raises(
            UserError,
            match=r"found a finish begun with seeds 3, expected 5 as it is now, .* or remove .*finish/trainings.jsonl",
        ):
            lines.check({"seeds": 5})


def test_one_that_never_began_leaves_no_file(tmp_path: Path) -> None:
    with Lines(tmp_path / "trainings.jsonl"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "finish").write_text("a file")
    with pytest.raises(UserError, match="finish: found File exists, expected a folder to write to"):
        Lines(tmp_path / "finish" / "trainings.jsonl")
