from __future__ import annotations

import gzip
import importlib.util
import itertools
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tables import FILES, Row, Table, default_folder, load, packaged
from nas.errors import UserError
from search_spaces.nasbench201 import NasBench201

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
CELLS = [
    "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*operations) for operations in itertools.product(OPERATIONS, repeat=6)
]
CHAINS = ["".join(digits) for digits in itertools.product("012", repeat=8)]


def shared(name: str) -> Table:
    """One of the two tables, where it is."""
    if not (default_folder() / FILES[name]).is_file():
        pytest.skip(f"no {FILES[name]} in {default_folder()}: name the folder with NAS_TABLES")
    return load(name)


@pytest.fixture(scope="module")
def nasbench201() -> Table:
    return shared("nasbench201")


@pytest.fixture(scope="module")
def macro() -> Table:
    return shared("nasbench-macro")


def written(folder: Path, lines: Iterable[Sequence[object]], name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    return path


def chains(folder: Path, rows: Iterable[tuple[str, object]]) -> Path:
    """A file of NAS-Bench-Macro with one accuracy an architecture, for all three seeds."""
    head = ("arch", "test_acc_seed0", "test_acc_seed1", "test_acc_seed2")
    return written(folder, [head, *((arch, value, value, value) for arch, value in rows)])


# --- the two tables that are shared ---


def test_nasbench201_is_the_file_that_its_readme_describes(nasbench201: Table) -> None:
    results = [row.result for row in nasbench201.rows.values()]
    assert len(nasbench201) == 15_625
    assert nasbench201.optimum == 94.3733
    assert round(sum(results) / 15_625, 3) == 87.056
    assert sum(result >= 94.0 for result in results) == 43
    assert max(row.reward for row in nasbench201.rows.values()) == pytest.approx(0.84892)
    assert nasbench201.best_reward_result == 94.3733
    assert round(nasbench201.mean_seconds) == 112
    assert nasbench201.sha256 == "6b73aceb2de54fe50d1ebdd122c6cadff559fedaba0e6f3a59eccd93004e48bd"


def test_nasbench201_gives_a_cell_its_own_row(nasbench201: Table) -> None:
    candidate = nasbench201.space.replay([4, 2, 1, 2, 1, 1])  # index 0
    row = nasbench201[candidate]
    assert row.arch == (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    )
    assert row.reward == pytest.approx(0.63364)
    assert row.result == 85.8633
    assert row.seconds == pytest.approx(91.108)  # 12 * 7.374 + 2.62
    assert "estimates" in nasbench201.seconds


def test_nasbench201_asks_what_the_space_of_real_children_asks(nasbench201: Table) -> None:
    space = NasBench201()
    real, known = space.sample(random.Random(3)), nasbench201.space.sample(random.Random(3))
    assert [question[:6] for question in real.questions] == [question[:6] for question in known.questions]
    assert known.key == space.ops(real)


def test_macro_is_the_file_that_its_readme_describes(macro: Table) -> None:
    means = {row.arch: (100 * row.reward + 2 * row.result) / 3 for row in macro.rows.values()}
    assert len(macro) == 6_561
    assert round(max(means.values()), 4) == 93.1267
    assert round(means["22212220"], 4) == round(means["22212202"], 4) == 93.1267
    assert round(means["00000000"], 4) == min(round(mean, 4) for mean in means.values()) == 45.3633
    assert round(sum(means.values()) / 6_561, 3) == 90.247
    assert macro.best_reward_result == 93.05
    assert macro.sha256 == "a57d7f483d71f3cfd00ea686551b5b5116813dc66aa6c9f1045d596ede1f286c"


def test_macro_shows_a_search_the_first_seed_and_keeps_the_others(macro: Table) -> None:
    row = macro[macro.space.replay([0, 0, 0, 0, 0, 0, 0, 1])]
    assert row.arch == "00000001"
    assert row.reward == pytest.approx(0.6434)
    assert row.result == pytest.approx((64.21 + 64.12) / 2)


def test_macro_has_no_seconds_and_says_so(macro: Table) -> None:
    with pytest.raises(UserError, match=r"found no times in nasbench-macro .*; give a --budget in evaluations"):
        macro.need_seconds()


def test_a_table_has_a_row_for_every_candidate_of_its_space(nasbench201: Table, macro: Table) -> None:
    for table in (nasbench201, macro):
        keys = {candidate.key for candidate in table.space.candidates() if table[candidate]}
        assert len(keys) == len(table)


def test_a_network_of_a_table_cannot_be_trained(tmp_path: Path) -> None:
    table = load(f"csv:{written(tmp_path, [('0', 1), ('1', 2)])}")
    candidate = table.space.sample(random.Random(0))
    with pytest.raises(UserError, match="found a network of a table, expected one to train"):
        candidate.network.module(table.space.images)


# --- other files ---


def test_another_data_set_is_a_prefix_and_needs_no_seconds(tmp_path: Path) -> None:
    rows = [(arch, 50 + number / 1000, 40 + number / 1000) for number, arch in enumerate(CELLS)]
    path = written(tmp_path, [("arch", "c100_val_12ep", "c100_test_200ep"), *rows])
    table = load("nasbench201", path, "c100")
    assert (table.name, len(table), table.optimum) == ("nasbench201 c100", 15_625, 40 + 15.624)
    assert table.seconds == ""
    assert table.rows[(0,) * 6].reward == 0.5
    assert (table.reward, table.result) == ("c100_val_12ep / 100", "c100_test_200ep")
    with pytest.raises(UserError, match=r"found no column c10_val_12ep among .*; choose --dataset c100"):
        load("nasbench201", path)


@pytest.mark.parametrize(
    "archs",
    [
        ["00", "01", "10", "11"],
        ["a-a", "a-b", "b-a", "b-b"],
        ["|x~0|+|x~0|", "|x~0|+|y~0|", "|y~0|+|x~0|", "|y~0|+|y~0|"],
        ["conv_1 8", "conv_1 16", "conv_3 8", "conv_3 16"],
        ["1:2", "1:30", "10:2", "10:30"],
    ],
)
def test_a_plain_table_has_one_choice_a_position(tmp_path: Path, archs: list[str]) -> None:
    table = load(f"csv:{written(tmp_path, zip(archs, (0.1, 0.2, 0.3, 0.4), strict=True))}")
    assert [len(choice.options) for choice in table.space.positions] == [2, 2]
    assert {row.arch: row.reward for row in table.rows.values()} == dict(zip(archs, (0.1, 0.2, 0.3, 0.4), strict=True))
    assert len(list(table.space.candidates())) == 4


def test_options_are_those_found_at_the_position(tmp_path: Path) -> None:
    table = load(f"csv:{written(tmp_path, [('ax', 1), ('ay', 2), ('az', 3), ('bx', 4), ('by', 5), ('bz', 6)])}")
    assert [choice.options for choice in table.space.positions] == [("a", "b"), ("x", "y", "z")]
    assert list(table.space.choices) == ["position 1", "position 2"]


def test_positions_with_the_same_options_share_their_choice(tmp_path: Path) -> None:
    alike = load(f"csv:{written(tmp_path, zip(('aa', 'ab', 'ba', 'bb'), range(4), strict=True))}").space
    assert list(alike.choices) == ["position"]
    assert [question.occurrence for question in alike.replay([0, 1]).questions] == [0, 1]
    archs = ["".join(parts) for parts in itertools.product("ab", "ab", "cd")]
    some = load(f"csv:{written(tmp_path, zip(archs, range(8), strict=True))}").space
    assert [choice.name for choice in some.positions] == ["position 1", "position 1", "position 3"]


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (("16", "24", "8"), (8, 16, 24)),
        (("1e-1", "0.02", "3"), (0.02, 0.1, 3.0)),
        (("16", "conv", "8"), ("8", "16", "conv")),
        (("1", "01", "2"), ("01", "1", "2")),  # two names of one number are two options
        (("nan", "inf", "2"), ("2", "inf", "nan")),
    ],
)
def test_options_that_are_all_numbers_are_numbers_in_their_order(
    tmp_path: Path, texts: tuple[str, ...], options: tuple[object, ...]
) -> None:
    archs = [f"{text} {letter}" for text in texts for letter in "xy"]
    table = load(f"csv:{written(tmp_path, zip(archs, range(2 * len(texts)), strict=True))}")
    assert table.space.positions[0].options == options
    assert all(candidate.key == table[candidate].arch.replace(" ", "-") for candidate in table.space.candidates())


@pytest.mark.parametrize(
    ("scores", "rewards"),
    [((0.2, 0.9), [0.2, 0.9]), ((20, 90), [0.2, 0.9]), ((-3, 5), [-3, 5]), ((1, 200), [1, 200])],
)
def test_scores_that_can_be_percent_become_fractions_and_others_stay(
    tmp_path: Path, scores: tuple[float, float], rewards: list[float]
) -> None:
    table = load(f"csv:{written(tmp_path, zip('ab', scores, strict=True))}")
    assert [row.reward for row in table.rows.values()] == rewards
    assert [row.result for row in table.rows.values()] == list(scores)


def test_a_plain_table_may_have_a_header_and_be_gzipped(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"architecture,accuracy\n0,0.5\n1,0.75\n"))
    table = load(f"csv:{path}")
    assert (len(table), table.optimum, table.reward) == (2, 0.75, "accuracy")


class Api:
    """What both packages of NAS-Bench-201 offer: 15,625 cells, by their index."""

    def __len__(self) -> int:
        return len(CELLS)

    def arch(self, index: int) -> str:
        return CELLS[index]

    def get_more_info(self, index: int, dataset: str, iepoch: None = None, hp: str = "", is_random: bool = True) -> Any:
        assert not is_random
        if (dataset, hp) == ("cifar10-valid", "12"):
            return {"valid-accuracy": index / 1000, "train-all-time": 20.0, "valid-per-time": 3.0, "test-accuracy": -1}
        if (dataset, hp) == ("cifar10", "200"):
            return {"test-accuracy": 2 * index / 1000}
        raise AssertionError((dataset, hp))


def test_the_benchmarks_own_interface_becomes_the_same_table(tmp_path: Path) -> None:
    table = packaged(Api(), tmp_path, "c10")
    row = table.rows[(0, 0, 0, 0, 0, 3)]
    assert (row.arch, row.reward, row.result, row.seconds) == (CELLS[3], 0.00003, 0.006, 23.0)
    assert (table.reward, table.result) == (
        "validation accuracy after 12 epochs / 100",
        "test accuracy after 200 epochs",
    )
    assert table.source == f"{tmp_path.name}, a folder, no SHA-256 taken"
    assert len(table) == 15_625
    with pytest.raises(UserError, match="--dataset: found 'svhn', expected one of c10, c100, in16"):
        packaged(Api(), tmp_path, "svhn")


@pytest.mark.skipif(importlib.util.find_spec("nats_bench") is not None, reason="nats_bench is installed")
def test_a_file_of_a_package_that_is_not_there_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found a file of the package nats_bench.*`pip install nats_bench`, or give a"):
        load("nasbench201", tmp_path)


# --- bad input ---


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [(arch, 90) for arch in CHAINS[:-1]],
            "found 6,560 architectures, expected all 6,561 .*22222222 is mis",
        ),
        ([(CHAINS[5], 90), (CHAINS[5], 91)], r"line 3: found the architecture '00000012' for the second time"),
        ([(CHAINS[0], "good")], "line 2: found 'good' in column test_acc_seed0, expected a number; mend the line"),
        ([(CHAINS[0], "nan")], "line 2: found 'nan' in column test_acc_seed0, expected a number"),
        ([(CHAINS[0], "")], "line 2: found nothing in column test_acc_seed0, expected a value"),
        ([(CHAINS[0], 900)], "line 2: found 900 in column test_acc_seed0, expected percent, 0 to 100"),
        ([(CHAINS[0], "9,1")], "line 2: found 7 columns, expected 4; mend the line"),
        ([("00000013", 90)], "found the architecture '00000013', expected eight digits of 0, 1 and 2; name the table"),
        ([("12", 90)], "found the architecture '12', expected eight digits of 0, 1 and 2, its leading zeros kept"),
        ([], "found 1 line, expected one with the columns' names and one a row"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, rows: list[tuple[str, object]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load("nasbench-macro", chains(tmp_path, rows))


@pytest.mark.parametrize("seconds", [(0, 1), (-5, 1), (1, 0)])
def test_times_that_are_not_above_0_are_refused(tmp_path: Path, seconds: tuple[float, float]) -> None:
    head = ("arch", "c10_val_12ep", "c10_test_200ep", "est_train_s_per_epoch", "est_valid_s")
    path = written(tmp_path, [head, (CELLS[0], 90, 90, 1, 1), (CELLS[1], 90, 90, *seconds)])
    found = f"{min(seconds)} in column est_{'train_s_per_epoch' if seconds[1] else 'valid_s'}"
    with pytest.raises(UserError, match=f"line 3: found {found}, expected seconds, a number above 0; mend the line"):
        load("nasbench201", path)


def test_a_cell_that_is_missing_is_named_as_the_file_would_have_it(tmp_path: Path) -> None:
    path = written(tmp_path, [("arch", "c10_val_12ep", "c10_test_200ep"), *((cell, 90, 90) for cell in CELLS[1:])])
    with pytest.raises(UserError, match=re.escape(f"; {CELLS[0]} is missing")):
        load("nasbench201", path)


def test_another_spaces_architectures_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, [("arch", "c10_val_12ep", "c10_test_200ep"), ("00000000", 90, 90)])
    with pytest.raises(UserError, match=r"'00000000', expected \|op~0\|\+\|op~0\|op~1\|\+.* with the operations none"):
        load("nasbench201", path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("00", 1), ("01", 2), ("10", 3)], "found 3 architectures, expected all 4 combinations .* 11 is missing"),
        ([("|x~0|+|x~0|", 1), ("|x~0|+|y~0|", 2), ("|y~0|+|x~0|", 3)], r"; \|y~0\|\+\|y~0\| is missing"),
        ([("1-2", 1), ("1-16", 2), ("02-2", 3)], "; 02-16 is missing"),
        ([("a;1",), ("b;2",)], "found 1 column, expected two, .* scores; put a comma between them, no semicolon$"),
        ([("00", 1), ("01", 2), ("00", 3)], "line 3: found the architecture '00' for the second time"),
        ([("00", 1), ("01", "x")], "line 2: found 'x' in column score, expected a number"),
        ([("00", 1), ("011", 2)], "found the architectures '00' and '011', expected equally many positions in each"),
        ([("00", 1, 2), ("01", 2, 3)], "found 3 columns, expected two, .* their scores; leave the others out$"),
    ],
)
def test_a_bad_plain_table_is_refused(tmp_path: Path, rows: list[tuple[object, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(f"csv:{written(tmp_path, rows)}")


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress(b"00,1\n01,2\n")[:-9])
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff")
    for name in ("torn.csv.gz", "picture.csv", "nothing.csv"):
        with pytest.raises(UserError, match=f"{name}: found .*, expected a table as csv, gzipped or not"):
            load(f"csv:{tmp_path / name}")


# --- landscapes ---


def test_without_ties_a_landscapes_best_is_the_best_of_each_position() -> None:
    table = load("nk:4,3,0,7")
    best = max(table.rows, key=lambda answers: table.rows[answers].reward)
    for place in range(4):
        column = [table.rows[(*best[:place], option, *best[place + 1 :])].reward for option in range(3)]
        assert max(column) == column[best[place]] == table.highest_reward
    # What a change of one position gains is the same wherever it is made.
    gains = {round(table.rows[(1, *rest)].reward - table.rows[(0, *rest)].reward, 12) for _, *rest in table.rows}
    assert len(gains) == 1


@pytest.mark.parametrize("ties", [0, 1, 2, 3, 5])
def test_a_position_is_worth_what_its_option_and_those_of_so_many_others_make_it(ties: int) -> None:
    """What positions do together, by inclusion and exclusion: there are six such sets, one a position, or fewer."""
    rows = load(f"nk:6,2,{ties},7").rows

    def together(places: Sequence[int]) -> float:
        parts = [chosen for size in range(len(places) + 1) for chosen in itertools.combinations(places, size)]
        ones = [(tuple(int(place in chosen) for place in range(6)), len(places) - len(chosen)) for chosen in parts]
        return sum(rows[answers].reward * (1 if left % 2 == 0 else -1) for answers, left in ones)

    def acting(size: int) -> list[tuple[int, ...]]:
        return [places for places in itertools.combinations(range(6), size) if abs(together(places)) > 1e-9]

    sets = acting(ties + 1)
    assert len(sets) <= 6
    assert {place for places in sets for place in places} == set(range(6))
    assert not [places for size in range(ties + 2, 7) for places in acting(size)]


def test_more_ties_make_more_peaks() -> None:
    smooth, rugged = (load(f"nk:6,2,{ties},7").rows for ties in (0, 5))
    assert _peaks(smooth) == 1
    assert _peaks(rugged) > 3


def _peaks(rows: Mapping[tuple[int, ...], Row]) -> int:
    """How many networks of two options a position no change of one position makes better."""
    return sum(
        all(
            rows[(*answers[:place], 1 - answers[place], *answers[place + 1 :])].reward < row.reward
            for place in range(6)
        )
        for answers, row in rows.items()
    )


def test_a_landscape_is_its_numbers_alone_and_its_result_the_reward_in_percent() -> None:
    one, again, other = load("nk:3,2,1,5"), load("nk:3,2,1,5"), load("nk:3,2,1,6")
    assert one.rows == again.rows != other.rows
    assert all(row.result == 100 * row.reward and 0 < row.reward < 1 for row in one.rows.values())
    assert len(one) == 8
    assert one.optimum == 100 * one.highest_reward


@pytest.mark.parametrize(
    "numbers",
    [
        *("", "8,3,1", "8,3,1,0,", "8,1,1,0", "8,3,8,0", "8,3,-1,0", "0,3,0,0", "a,3,1,0", "20,3,1,0", "1,200000,0,0"),
        *("3000000000,2,0,0", "99999999999,9,0,0", "2,99999999999,0,0"),  # as a power, more digits than fit in memory
        *("1234567890123456,2,0,0", "8,3,1,1234567890123456"),
    ],
)
def test_a_landscape_that_cannot_be_is_refused(numbers: str) -> None:
    with pytest.raises(UserError, match=f"found 'nk:{numbers}', expected nk:POSITIONS,OPTIONS,TIES,SEED with at least"):
        load(f"nk:{numbers}")


def test_numbers_longer_than_python_reads_are_refused() -> None:
    with pytest.raises(UserError, match=r"found 'nk:8,3,1,000.*, expected nk:POSITIONS,OPTIONS,TIES,SEED"):
        load(f"nk:8,3,1,{'0' * 5_000}")


@pytest.mark.parametrize("typed", ["nasbench101", "csv", "csv:", "nasbench201:c10"])
def test_an_unknown_table_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match=f"table: found '{typed}'.*, expected nasbench201, nasbench-macro, csv:PATH"):
        load(typed)


def test_a_data_set_is_nasbench201s_only() -> None:
    with pytest.raises(UserError, match="--dataset: found 'c100' with nasbench-macro, expected it with nasbench201"):
        load("nasbench-macro", None, "c100")


def test_a_table_that_is_not_there_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_TABLES", str(tmp_path))
    with pytest.raises(UserError, match=r"found no nasbench201_cifar10.csv.gz in .*; name yours with --file, or"):
        load("nasbench201")
