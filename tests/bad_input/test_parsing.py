"""Whatever is typed or lies in a file: it is read, or refused with a UserError, and nothing else is ever raised."""

import contextlib
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmarks import tables
from nas import data, ledger, names, npz, recorded
from nas.check import sound
from nas.errors import UserError, plain
from nas.network import Images
from nas.recipe import Recipe
from nas.space import Limit, shorten

NAMES = st.sampled_from(["chain", "metaqnn", "random", "reinforce", "quick", "accuracy", "halving", "depth", "rate"])
TYPED = st.one_of(st.text(), st.builds("".join, st.lists(st.one_of(NAMES, st.sampled_from(":=,.+/- 019é\0\x1b\n")))))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=9,
)
FIELDS = st.sampled_from([*ledger._OF_HEADER, *ledger._OF_ONE, *ledger._OF_MANY, "format", "limits", "choices"])

quickly = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which all is read and typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@quickly
@given(st.sampled_from([names.space, names.controller, names.recipe, names.stop, names.preset, names.reward]), TYPED)
@example(names.space, "chain:" + "9" * 5000)
@example(names.space, "metaqnn:depth=" + "9" * 5000)
@example(names.recipe, "quick:rate=1e999")
def test_any_text_is_a_name_or_refused(at: Path, read: Callable[[str], object], typed: str) -> None:
    with contextlib.suppress(UserError):
        read(typed)


@quickly
@given(st.lists(TYPED, max_size=3))
@example(["depth=" + "9" * 5000])
def test_any_texts_are_limits_or_refused(typed: list[str]) -> None:
    with contextlib.suppress(UserError):
        assert all(isinstance(limit, Limit) for limit in names.limits(typed).values())


@quickly
@given(st.lists(TYPED, max_size=3))
def test_any_texts_are_settings_or_refused(typed: list[str]) -> None:
    with contextlib.suppress(UserError):
        names.controller("reinforce", typed)


@quickly
@given(st.dictionaries(st.sampled_from([*Recipe.__dataclass_fields__]), st.text(max_size=6) | st.floats().map(str)))
def test_any_fields_are_a_recipe_or_refused(fields: dict[str, str]) -> None:
    with contextlib.suppress(UserError):
        names.recipe("quick:" + ",".join(f"{name}={value}" for name, value in fields.items()))


@quickly
@given(TYPED)
def test_any_text_is_a_data_set_or_refused(at: Path, typed: str) -> None:
    with contextlib.suppress(UserError):
        data.native(typed if typed in data.BUILT_IN else f"folder:{typed}")


@quickly
@given(st.binary())
@example(b"\n")
@example(bytes(100) + b"\n")
def test_any_bytes_are_a_ledger_or_refused(at: Path, content: bytes) -> None:
    (at / ledger.FILE).write_bytes(content)
    with contextlib.suppress(UserError):
        ledger.read(at)


def sealed(record: object) -> bytes:
    """As `ledger.sealed`, but of whatever Python writes as JSON, as NaN."""
    text = json.dumps(record)
    return f'{text[:-1]}, "sum": "{zlib.crc32(text.encode()):08x}"}}\n'.encode()


@quickly
@given(st.dictionaries(FIELDS, JSON, min_size=1), st.dictionaries(FIELDS, JSON, min_size=1))
def test_any_fields_with_their_checksums_are_a_ledger_or_refused(
    at: Path, header: dict[str, object], trial: dict[str, object]
) -> None:
    sound_header = {name: kinds[0]() for name, kinds in ledger._OF_HEADER.items()} | {"format": 1}
    sound_header |= dict.fromkeys(("training", "validation", "window", "length"), 1)
    for first, second in ((sound_header | header, trial), (sound_header, trial), (header, trial)):
        (at / ledger.FILE).write_bytes(sealed(first) + sealed(second))
        with contextlib.suppress(UserError):
            found, trials = ledger.read(at)
            recorded.space(found, trials)


@quickly
@given(st.binary(), st.integers(0, 400), st.sampled_from(["put", "cut", "over"]))
def test_any_change_to_a_file_of_arrays_is_read_or_refused(at: Path, noise: bytes, place: int, how: str) -> None:
    file = io.BytesIO()
    np.savez(file, x=np.zeros((6, 2, 2), np.uint8), y=np.array([0, 1] * 3))
    content = file.getvalue()
    after = {"put": content[place:], "cut": b"", "over": content[place + len(noise) :]}[how]
    (at / "mine.npz").write_bytes(content[:place] + noise + after)
    with contextlib.suppress(UserError):
        npz.look(at / "mine.npz")
        npz.read(at / "mine.npz")


@quickly
@given(st.text(), st.sampled_from([(1, 0), (2, 0), (3, 0)]))
@example("{'descr': '|u1', 'fortran_order': False, 'shape': (6, 10**9, 2)}", (1, 0))
@example("{'descr': '|u1', 'fortran_order': False, 'shape': (True, -1, 2)}", (2, 0))
@example("(" * 9000, (1, 0))
def test_any_header_of_an_array_is_read_or_refused(at: Path, text: str, version: tuple[int, int]) -> None:
    import struct
    import zipfile

    written = text.encode("utf-8", "replace")[: 2**16 - 1]
    length = struct.pack("<H" if version == (1, 0) else "<I", len(written))
    with zipfile.ZipFile(at / "mine.npz", "w") as archive:
        archive.writestr("x.npy", np.lib.format.magic(*version) + length + written)
        archive.writestr("y.npy", b"")
    with pytest.raises(UserError):
        npz.look(at / "mine.npz")


@quickly
@given(st.one_of(st.binary(), st.text(alphabet='ab-,;\n" 01.9e').map(str.encode)))
def test_any_bytes_are_a_table_or_refused(at: Path, content: bytes) -> None:
    (at / "mine.csv").write_bytes(content)
    for typed, file in (("csv:mine.csv", None), ("nasbench201", at / "mine.csv"), ("nasbench-macro", at / "mine.csv")):
        with contextlib.suppress(UserError):
            assert len(tables.load(typed, file))


@quickly
@given(st.text())
def test_plain_text_has_no_character_that_a_terminal_obeys(text: str) -> None:
    assert plain(text).replace("\n", "").isprintable()
    assert not text.isprintable() or plain(text) == text
    assert len(shorten(plain(text), 100)) <= 103


@pytest.mark.parametrize("name", names.spaces())
def test_a_built_in_space_is_sound_on_the_smallest_images_and_on_photographs(name: str) -> None:
    for size in (1, 2, 3, 5, 600):
        assert sound(names.space(name).on(Images(size, 3, 2)))
