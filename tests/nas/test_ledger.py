"""The ledger: what is written is read back, and whatever is not whole is either dropped or an error with a place."""

import contextlib
import fcntl
import json
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.errors import UserError
from nas.ledger import FILE, Ledger, Trial, _lock, begun, read, sealed, unsealed
from nas.reward import Result

HEADER: dict[str, Any] = {
    "space": "Small()", "choices": {}, "controller": "RandomSearch", "parameters": {}, "data": "digits",
    "training": 80, "validation": 20, "fingerprint": "cafe", "recipe": {"epochs": 2}, "reward": "accuracy", "seed": 0,
    "threads": 1, "child_timeout": None, "window": 2, "length": 3,
}  # fmt: skip
RESULT = Result((0.25, 0.5), (1.5, 1.25), params=10, madds=2000, seconds=0.125)
TRIALS = [
    Trial(0, (1, 0), "cafe", "network 1: α", 0.5, RESULT, at=1.0),
    Trial(2, (1, 0), "cafe", "network 1: α", 0.5, None, same_as=0, at=1.5),
    Trial(1, (), "beef", "network 1: β", None, Result(seconds=0.5, error="diverged: x"), "diverged: x", at=2.0),
]


def written(folder: Path, trials: list[Trial] = TRIALS) -> Path:
    """A finished search of three trials."""
    with Ledger(folder) as ledger:
        ledger.begin(HEADER)
        for trial in trials:
            ledger.append(trial)
    return folder / FILE


def test_a_repeat_is_not_trained_and_a_failure_is_not_scored() -> None:
    first, repeat, failed = TRIALS
    refused = replace(failed, error="refused: too large")
    assert [trial.trained for trial in (first, repeat, failed, refused)] == [True, False, True, False]
    assert [trial.scored for trial in (first, repeat, failed, refused)] == [True, False, False, False]


def test_the_bar_of_a_stopped_child_is_kept_and_others_have_none(tmp_path: Path) -> None:
    stopped = replace(TRIALS[0], result=replace(RESULT, bar=(0.0, 0.75)))
    path = written(tmp_path, [stopped, *TRIALS[1:]])
    assert [trial.stopped for trial in read(tmp_path)[1]] == [True, False, False]
    assert read(tmp_path)[1][0] == stopped
    assert ["bar" in json.loads(line) for line in path.read_text().splitlines()] == [False, True, False, False]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written(tmp_path)
    assert read(tmp_path) == ({"format": 1, **HEADER}, TRIALS)


def test_a_ledger_opened_again_goes_on_where_it_ended(tmp_path: Path) -> None:
    written(tmp_path, TRIALS[:2])
    with Ledger(tmp_path) as ledger:
        assert (ledger.header, ledger.trials) == ({"format": 1, **HEADER}, TRIALS[:2])
        ledger.append(TRIALS[2])
    assert read(tmp_path)[1] == TRIALS


def test_a_trial_can_be_read_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.begin(HEADER)
        for number, trial in enumerate(TRIALS, 1):
            ledger.append(trial)
            assert read(tmp_path)[1] == TRIALS[:number]


def test_the_lines_are_json_in_the_order_of_the_format(tmp_path: Path) -> None:
    header, trained, repeat, _ = map(json.loads, written(tmp_path).read_text("utf-8").splitlines())
    assert list(header) == ["format", *HEADER, "sum"]
    assert list(repeat) == ["trial", "answers", "key", "network", "reward", "error", "same_as", "at", "sum"]
    assert list(trained)[:8] == list(repeat)[:-1]
    assert list(trained)[8:] == ["accuracy", "loss", "params", "madds", "seconds", "memory", "precision", "sum"]


def test_the_precision_of_a_training_is_kept_and_none_is_known_of_lines_without_it(tmp_path: Path) -> None:
    trial = replace(TRIALS[0], result=replace(RESULT, precision="bfloat16"))
    path = written(tmp_path, [trial])
    assert read(tmp_path)[1] == [trial]
    header, line = path.read_bytes().splitlines(keepends=True)
    record = unsealed(line.rstrip(b"\n"))
    del record["precision"]
    path.write_bytes(header + sealed(record))
    assert read(tmp_path)[1] == TRIALS[:1]


def test_what_was_measured_is_kept_and_left_out_where_nothing_was(tmp_path: Path) -> None:
    measured: dict[str, Any] = {
        "latency_ms": (1.5, 1.25, 2.0), "batch_latency_ms": (9.0, 8.0, 9.5), "peak_memory": 4096,
    }  # fmt: skip
    trial = replace(TRIALS[0], result=replace(RESULT, **measured))
    path = written(tmp_path, [trial, *TRIALS[1:]])
    assert read(tmp_path)[1] == [trial, *TRIALS[1:]]
    _, line, repeat, failed = map(json.loads, path.read_text("utf-8").splitlines())
    assert [line[name] for name in measured] == [[1.5, 1.25, 2.0], [9.0, 8.0, 9.5], 4096]
    assert not set(measured) & {*repeat, *failed}


@pytest.mark.parametrize("latency", [(1.0, 2.0), (1.0, 2.0, 3.0), (2.0, 1.0, 1.5), (-1.0, -2.0, 0.0)])
def test_a_latency_outside_its_quartiles_is_no_latency(tmp_path: Path, latency: tuple[float, ...]) -> None:
    written(tmp_path, [replace(TRIALS[0], result=replace(RESULT, latency_ms=latency))])
    with pytest.raises(UserError, match=r"line 2: found no sound trial \(a latency is"):
        read(tmp_path)


def test_what_a_controller_said_of_itself_is_kept_before_the_result(tmp_path: Path) -> None:
    said = replace(TRIALS[0], figures={"entropy": 0.71})
    line = json.loads(written(tmp_path, [said]).read_text("utf-8").splitlines()[1])
    assert list(line)[7:10] == ["at", "figures", "accuracy"]
    assert line["figures"] == {"entropy": 0.71}
    assert read(tmp_path)[1] == [said]


def test_the_checksum_stays_what_it_was_in_old_ledgers() -> None:
    line = '{"trial": 7, "network": "α", "sum": "897e321b"}\n'  # CRC-32 of '{"trial": 7, "network": "α"}'
    assert sealed({"trial": 7, "network": "α"}) == line.encode()
    assert unsealed(line.encode().rstrip()) == {"trial": 7, "network": "α"}


def test_a_ledger_that_was_removed_meanwhile_is_told_of_and_not_written_into_nowhere(tmp_path: Path) -> None:
    path = written(tmp_path)
    with Ledger(tmp_path) as ledger:
        path.unlink()
        with pytest.raises(UserError, match=rf"{FILE}: found it removed, expected it to stay while it is written"):
            ledger.append(replace(TRIALS[0], trial=3))


def test_what_is_no_character_is_written_and_read_back(tmp_path: Path) -> None:
    named = replace(TRIALS[0], network="caf\udce9 \ud800 α")
    written(tmp_path, [named])
    assert read(tmp_path)[1] == [named]


def test_the_confusion_counts_are_not_kept(tmp_path: Path) -> None:
    result = Result((1.0,), (0.0,), 1, 1, 1.0, confusion=((3, 0), (0, 4)))
    assert b"confusion" not in written(tmp_path, [Trial(0, (), "k", "n", 1.0, result)]).read_bytes()
    assert read(tmp_path)[1] == [Trial(0, (), "k", "n", 1.0, Result((1.0,), (0.0,), 1, 1, 1.0))]


# --- damage ---


LOST = [b"", b"\0", b"\0" * 4096]  # what a crash or a loss of power leaves in place of bytes that were to be written


@pytest.mark.parametrize("lost", LOST, ids=len)
def test_a_last_line_torn_at_any_byte_is_dropped(tmp_path: Path, lost: bytes) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    before = content[:-1].rfind(b"\n") + 1
    for end in range(before, len(content) - 1):  # to the last byte but its closing brace
        path.write_bytes(content[:end] + lost)
        assert read(tmp_path)[1] == TRIALS[:2]
        with Ledger(tmp_path) as ledger:
            assert ledger.trials == TRIALS[:2]
            ledger.append(TRIALS[2])
        assert path.read_bytes() == content


@pytest.mark.parametrize("lost", LOST, ids=len)
def test_a_whole_last_line_without_its_line_break_is_kept(tmp_path: Path, lost: bytes) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + lost)
    assert read(tmp_path)[1] == TRIALS
    with Ledger(tmp_path) as ledger:
        assert ledger.trials == TRIALS
    assert path.read_bytes() == content


@pytest.mark.parametrize("lost", LOST, ids=len)
def test_a_header_torn_at_any_byte_is_a_search_that_has_not_begun(tmp_path: Path, lost: bytes) -> None:
    path = written(tmp_path / "a", [])
    content = path.read_bytes()
    for end in range(len(content) - 1):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content[:end] + lost)
        with pytest.raises(UserError, match=r"found no header line, expected a search that has begun"):
            read(path.parent)
        assert begun(path.parent) == ({}, [])
        with Ledger(path.parent) as ledger:
            assert (ledger.header, ledger.trials) == (None, [])
        assert not path.exists()


def test_any_other_byte_that_changes_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    for place in range(len(content)):
        line = content[:place].count(b"\n") + 1
        for other in {content[place] ^ 1, ord("\n")} - {content[place]}:
            path.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
            with pytest.raises(UserError, match=rf"{FILE}, line {line}: found "):
                read(tmp_path)


def test_a_whole_last_line_whose_line_break_became_something_else_is_not_taken_for_a_torn_one(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = path.read_bytes()
    for other in (b"\x0b", b" ", b"}", b'x\n{"trial": 7'):  # the last one as if a torn line followed
        path.write_bytes(content[:-1] + other)
        with pytest.raises(UserError) as error:
            Ledger(tmp_path)
        if b"\n" not in other:
            assert str(error.value) == (
                f"{path}, line 4: found {other!r} in place of the line break after a whole line, expected the line to "
                "end there; put a line break in its place"
            )
        assert path.read_bytes() == content[:-1] + other


@pytest.mark.parametrize("text", [b"# good ones: 7, 9", b'["trial"]', b"\x00\x00{", b"trial"])
def test_what_is_no_beginning_of_a_line_is_no_torn_one(tmp_path: Path, text: bytes) -> None:
    path = written(tmp_path)
    for before, number in ((path.read_bytes(), 5), (b"", 1)):
        path.write_bytes(before + text)
        with pytest.raises(UserError, match=rf"line {number}: found a damaged line \(it begins with b'.*'\)"):
            Ledger(tmp_path)
        assert path.read_bytes() == before + text


def test_a_damaged_line_is_told_with_how_to_mend_it(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"reward": 0.5', b'"reward": 0.6', 1))
    with pytest.raises(UserError) as error:
        Ledger(tmp_path)
    assert str(error.value) == (
        f"{path}, line 2: found a damaged line (its checksum is missing or wrong), expected one JSON record with its "
        "checksum; restore the line from a copy, or delete it: its trial alone is then trained again"
    )


def test_a_line_that_is_missing_its_newline_is_told_of_in_the_middle(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].rstrip() + lines[2] + lines[3])
    with pytest.raises(UserError, match="line 2: found a damaged line"):
        read(tmp_path)


def test_an_empty_line_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(UserError, match="line 5: found a damaged line"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trial", "3"), ("trial", True), ("trial", 3.0), ("answers", "01"), ("answers", [0, "1"]), ("answers", None),
        ("key", 7), ("network", None), ("reward", "0.5"), ("reward", [0.5]), ("error", 1), ("same_as", "0"),
        ("at", None), ("figures", 0.5), ("accuracy", 0.5), ("accuracy", ["0.5"]), ("loss", [None]), ("params", "9"),
        ("seconds", None), ("bar", {"0": 1}),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_an_error_though_the_checksum_is_right(
    tmp_path: Path, field: str, value: object
) -> None:
    path = written(tmp_path)
    *others, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(others) + sealed({**unsealed(last.rstrip()), field: value}))
    with pytest.raises(
        UserError, match=rf"line 4: found no sound trial \({field} is .*\), expected the fields of format"
    ):
        read(tmp_path)


def test_lines_that_changed_places_are_the_same_trials(tmp_path: Path) -> None:
    path = written(tmp_path)
    header, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([header, *reversed(lines)]))
    assert read(tmp_path)[1] == TRIALS[::-1]


def test_a_header_that_is_not_in_its_place_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path)
    header, first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, header, *others]))
    with pytest.raises(UserError, match=r"line 1: found trial 0, expected the header of the search; restore it"):
        read(tmp_path)


def test_two_ledgers_in_one_file_are_told_apart(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(UserError, match=r"line 5: found the header of a search, expected a trial; of two ledgers in"):
        read(tmp_path)


def test_a_trial_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[1]]))
    number = json.loads(lines[1])["trial"]
    with pytest.raises(UserError, match=rf"line 5: found trial {number} for the second time, expected each trial once"):
        read(tmp_path)


def test_a_whole_line_that_is_no_trial_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes() + sealed({"trial": 3, "error": None, "answers": []}))
    with pytest.raises(UserError, match=r"line 5: found no sound trial \(.*'key'.*\), expected the fields of format 1"):
        read(tmp_path)


def test_a_damaged_ledger_is_left_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path)
    damaged = path.read_bytes().replace(b'"seed": 0', b'"seed": 1')
    path.write_bytes(damaged)
    for _ in range(2):  # it is not left locked either
        with pytest.raises(UserError, match="line 1: found a damaged line"):
            Ledger(tmp_path)
    assert path.read_bytes() == damaged


def test_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(sealed({"format": 2, "space": "Small()"}))
    with pytest.raises(UserError, match=r"line 1: found format 2, expected 1; it was written by another version"):
        Ledger(tmp_path)


# --- one search a folder ---


def test_a_second_opening_is_refused_until_the_first_is_closed(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.begin(HEADER)
        for _ in range(2):
            with pytest.raises(UserError) as error:
                Ledger(tmp_path)
            assert str(error.value) == (
                f"{tmp_path}: found another search writing here, expected none; wait for it to end, "
                "or choose another --out"
            )
    Ledger(tmp_path).close()


def test_a_lock_of_another_process_counts(tmp_path: Path) -> None:
    with written(tmp_path).open("rb") as elsewhere:  # flock goes by the opening, not by the process
        fcntl.flock(elsewhere, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="found another search writing here"):
            Ledger(tmp_path)
    Ledger(tmp_path).close()


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may become larger than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_without_room_is_not_there_at_all_and_the_search_goes_on_when_there_is_some(tmp_path: Path) -> None:
    content = written(tmp_path).read_bytes()
    found = f"{FILE}: found File too large, expected room for a line; make room, and the same command goes on$"
    with Ledger(tmp_path) as ledger, room_for(len(content) + 10), pytest.raises(UserError, match=found):
        ledger.append(replace(TRIALS[0], trial=3))
    assert (tmp_path / FILE).read_bytes() == content
    with Ledger(tmp_path) as ledger:
        ledger.append(replace(TRIALS[0], trial=3))
    assert [trial.trial for trial in read(tmp_path)[1]] == [0, 2, 1, 3]


def test_a_search_without_room_for_its_header_leaves_nothing_behind(tmp_path: Path) -> None:
    with Ledger(tmp_path / "new") as ledger, room_for(10), pytest.raises(UserError, match="expected room for a line"):
        ledger.begin(HEADER)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_was_just_removed_by_a_search_that_did_not_begin_is_not_written(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    gone = (tmp_path / FILE).open("rb")
    (tmp_path / FILE).unlink()
    with gone, pytest.raises(UserError, match="found another search writing here"):
        _lock(gone.fileno(), tmp_path)


def test_what_has_no_whole_header_has_not_begun(tmp_path: Path) -> None:
    assert begun(tmp_path) == ({}, [])
    (tmp_path / FILE).write_bytes(sealed({"format": 1, **HEADER})[:-2])
    assert begun(tmp_path) == ({}, [])
    (tmp_path / FILE).unlink()
    written(tmp_path)
    assert begun(tmp_path) == read(tmp_path)


def test_the_same_header_passes_whatever_the_length(tmp_path: Path) -> None:
    written(tmp_path)
    with Ledger(tmp_path) as ledger:
        ledger.check(HEADER)
        ledger.check({"space": "Small()", "seed": 0})
        ledger.check(HEADER | {"length": 1000})


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"seed": 1}, "found a search with seed 0, expected 1"),
        ({"space": "Large()"}, r"found a search with space 'Small\(\)', expected 'Large\(\)'"),
        ({"window": 3}, "found a search with window 2, expected 3"),
        ({"limits": {}}, "found a search with limits None, expected {}"),
    ],
)
def test_another_header_is_refused_by_the_name_that_differs(
    tmp_path: Path, changed: dict[str, Any], found: str
) -> None:
    written(tmp_path)
    mend = " as in this command; give the same options to go on with it, or choose another --out$"
    with Ledger(tmp_path) as ledger, pytest.raises(UserError, match=found + mend):
        ledger.check(HEADER | changed)


CHOICES = {"width": ["16", "32"], "kind": ["'conv'", "'pool'"]}


@pytest.mark.parametrize(
    ("now", "changes"),
    [
        ({**CHOICES, "width": ["16", "32", "64"]}, "option 64 of width added"),
        ({**CHOICES, "width": ["32"]}, "option 16 of width removed"),
        ({**CHOICES, "width": ["32", "16"]}, "the options of width reordered, from 16, 32 to 32, 16"),
        ({**CHOICES, "width": ["16", "48"]}, "option 32 of width removed, option 48 of width added"),
        ({**CHOICES, "depth": ["1"]}, "depth added"),
        ({"width": ["16", "32"]}, "kind removed"),
        ({"width": ["16", "32"], "type": ["'conv'", "'pool'"]}, "kind renamed to type"),
        ({"kind": ["'conv'", "'pool'"], "width": ["16", "32"]}, "the choices reordered"),
    ],
    ids=lambda value: value.replace(",", "") if isinstance(value, str) else "",
)
def test_a_space_with_other_choices_is_refused_with_what_changed(
    tmp_path: Path, now: dict[str, list[str]], changes: str
) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.begin({"choices": CHOICES})
    with Ledger(tmp_path) as ledger, pytest.raises(UserError) as error:
        ledger.check({"choices": now})
    assert str(error.value) == (
        f"{tmp_path}: found a search of a space with other choices ({changes} since), expected the same; restore the "
        "space, or choose another --out"
    )


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"parameters": {"rate": 0.2}}, "parameters rate 0.1, expected 0.2 as in this command; give the same options"),
        ({"parameters": {"rate": 0.1, "best": 3}}, "parameters best None, expected 3 as in this command; the code of "),
        ({"parameters": {}}, "parameters rate 0.1, expected None as in this command; the code of parameters has"),
        ({"limits": {}}, r"limits depth \[6, 2, 9\], expected None as in this command; give the same options to go on"),
        ({"fingerprint": "b"}, "fingerprint 'a', expected 'b' as in this command; give the same --data and --images"),
    ],
    ids=["value", "new parameter", "old parameter", "limit", "images"],
)  # fmt: skip
def test_what_is_to_be_done_depends_on_what_differs(tmp_path: Path, now: dict[str, Any], message: str) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.begin({"parameters": {"rate": 0.1}, "limits": {"depth": [6, 2, 9]}, "fingerprint": "a"})
    with Ledger(tmp_path) as ledger, pytest.raises(UserError, match=f"found a search with {message}"):
        ledger.check(now)


def test_a_search_that_never_began_removes_the_folders_that_it_made(tmp_path: Path) -> None:
    Ledger(tmp_path / "runs" / "first").close()
    assert list(tmp_path.iterdir()) == []


def test_a_search_that_never_began_leaves_nothing_behind(tmp_path: Path) -> None:
    Ledger(tmp_path / "new").close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_stays_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    Ledger(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"expected a folder to write to; choose another --out"):
        Ledger(tmp_path / "file")


def test_reading_where_no_search_lies_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"found no {FILE}, expected the folder of a search"):
        read(tmp_path)


def test_a_number_that_json_lacks_is_never_written(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.begin(HEADER)
        with pytest.raises(ValueError, match="Out of range float values"):
            ledger.append(Trial(0, (), "k", "n", float("nan"), None))
    assert read(tmp_path)[1] == []
