"""Ledgers as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas.beside.frame import Search, export, frame, framed, name_of, search
from nas.blocks import Block
from nas.errors import UserError
from nas.ledger import Trial
from nas.network import Images, Network
from nas.reward import Result
from nas.space import Choice, Pick, Space
from search_spaces.chain import Chain
from search_spaces.zoph import Zoph
from tests.nas.beside.conftest import Narrow, begin, snippet


def test_a_trial_is_a_row_with_its_answers_by_question(folder: Path) -> None:
    table = frame(folder, Narrow())
    assert table["trial"].tolist() == [*range(10)]
    row = table.iloc[8]
    assert (row["depth 1"], row["kind 1"], row["width 1"]) == (1, "separable", 4)
    assert pd.isna(row["width 2"])
    assert (row["reward"], row["accuracy"], row["entropy"], row["stopped"]) == (0.25, [0.2], 0.5, True)


def test_whole_numbers_stay_so_where_a_question_was_not_asked(folder: Path, tmp_path: Path) -> None:
    table = frame(folder, Narrow())
    assert table["width 3"].isna().any()
    assert [str(table[name].dtype) for name in ("depth 1", "width 1", "width 3")] == ["Int64"] * 3
    assert table["kind 1"].dtype != "Int64"
    assert export(folder, tmp_path / "a.csv", Narrow())
    written = pd.read_csv(tmp_path / "a.csv", dtype=str)["width 3"].dropna()
    assert set(written) <= {"4", "8", "32"}


class Mixed(Space):
    """Options that are no whole numbers, or too great for a float to be exact."""

    depth = Choice(1, 2)
    rate = Choice(1, 0.5)
    flag = Choice(False, True)
    great = Choice(2**53 + 1, 2**70)

    def build(self, pick: Pick) -> Network:
        for _ in range(depth := pick(self.depth)):
            pick(self.rate), pick(self.flag), pick(self.great)
        return Network(8, (Block("conv", 4),) * depth)


def test_answers_that_are_no_whole_numbers_or_too_great_for_exact_floats_stay_as_they_are() -> None:
    candidates = [Mixed().replay(answers) for answers in ((1, 0, 1, 0, 1, 0, 1), (0, 1, 0, 1))]
    trials = [Trial(n, c.answers, c.key, c.key, 0.5, Result((0.5,), (1.0,))) for n, c in enumerate(candidates)]
    table = framed(Search({}, list(zip(trials, candidates, strict=True))))
    assert [name for name in table if str(table[name].dtype) == "Int64" and " " in name] == ["depth 1"]
    assert table["rate 1"].tolist() == [1, 0.5]
    assert table["flag 1"].tolist() == [True, False]
    assert table["great 1"].tolist() == [2**53 + 1, 2**70]


def test_figures_named_as_other_columns_stand_beside_them(boasted: Path) -> None:
    table = frame(boasted, Narrow())
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert sorted(table["reward"].dropna()) == [0.5, 0.51, 0.53]
    assert table["madds"].isna().all()  # which these results do not have
    assert set(table["width 3"].dropna()) <= {4, 8, 32}
    for name, value in (("trial", 0.5), ("reward", 9), ("madds", 8), ("width 3", 7)):
        assert set(table[f"health/{name}"]) == {value}
    assert set(table["entropy"]) == {0.25}


def test_a_failed_child_has_no_reward_and_a_repeat_says_of_what(folder: Path) -> None:
    table = frame(folder, Narrow())
    assert pd.isna(table["reward"][2])
    assert table["error"][2] == "exception: ValueError: <b>no</b>"
    assert table["same_as"][9] == 1
    assert table["reward"][9] == table["reward"][1]


def test_a_repeat_has_the_figures_of_the_trial_that_it_is_the_same_as_and_took_no_time(folder: Path) -> None:
    table = frame(folder, Narrow())
    once, again = table.iloc[1], table.iloc[9]
    assert again["accuracy"] == once["accuracy"] == [0.3, 0.51]
    assert (again["loss"], again["precision"]) == ([1.5, 1.0], "float32")
    assert (once["seconds"], again["seconds"]) == (0.5, 0.0)


def test_readme_s_table_has_a_row_for_each_trial(folder: Path) -> None:
    text = snippet("frame(").replace('"runs/chain-reinforce-digits-seed0"', "folder, Narrow()")
    place: dict[str, Any] = {"folder": folder, "Narrow": Narrow}
    exec(text, place)  # noqa: S102  our own
    assert len(place["table"]) == 10


def test_csv_has_the_same_rows(folder: Path, tmp_path: Path) -> None:
    assert export(folder, tmp_path / "a.csv", Narrow()) == 10
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["reward"].tolist()[3:] == frame(folder, Narrow())["reward"].tolist()[3:]


def test_links_are_named_by_both_their_layers() -> None:
    candidate = Zoph(depth=2).walk(lambda question: question.legal[0])
    assert [name_of(question) for question in candidate.questions if question.link is not None] == ["link 2 1"]


class Wider(Narrow):
    """Another space of the same shape."""

    width = Choice(4, 8, 16)


@pytest.mark.parametrize(
    ("space", "message"),
    [(None, "told where your own is; give --space"), (Chain(), "expected one of Chain"), (Wider(), "expected one of")],
)
def test_a_space_that_is_not_the_searchs_is_said(folder: Path, space: Space | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        search(folder, space)


def test_a_space_of_ones_own_may_be_given_as_it_is_typed(folder: Path) -> None:
    assert frame(folder, "tests.nas.beside.conftest:Narrow").equals(frame(folder, Narrow()))


def test_a_folder_without_a_search_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no ledger\.jsonl"):
        frame(tmp_path)


def test_a_file_that_cannot_be_written_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a file to write"):
        export(folder, tmp_path, Narrow())


def test_latencies_and_memory_are_columns_where_they_were_measured(folder: Path) -> None:
    row = frame(folder, Narrow()).iloc[8]
    assert (row["latency_ms"], row["batch_latency_ms"], row["peak_memory"]) == (1.5, 64.0, 4096)
    assert frame(folder, Narrow())[["latency_ms", "peak_memory"]].isna().sum().tolist() == [9, 9]


def test_a_search_without_its_images_is_a_table_once_the_space_is_on_such_images(tmp_path: Path) -> None:
    begin(tmp_path, 2, data="npz:gone.npz")
    with pytest.raises(UserError, match=r"found no such file.* give the space on these in Python"):
        frame(tmp_path, Narrow())
    assert "depth 1" in frame(tmp_path, Narrow().on(Images(8, 1, 10)))


def test_a_search_of_no_trials_is_an_empty_table(tmp_path: Path) -> None:
    begin(tmp_path, 1)
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
    assert frame(tmp_path, Narrow()).empty
