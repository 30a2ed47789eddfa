"""Ledgers as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nas.beside.frame import export, frame, name_of, search
from nas.errors import UserError
from nas.network import Images
from nas.space import Choice, Space
from search_spaces.chain import Chain
from search_spaces.zoph import Zoph
from tests.nas.beside.conftest import Narrow, begin, snippet


def test_a_trial_is_a_row_with_its_answers_by_question(folder: Path) -> None:
    table = frame(folder, Narrow())
    assert table["trial"].tolist() == [*range(10)]
    row = table.iloc[8]
    assert (row["depth 0"], row["kind 0"], row["width 0"]) == (1, "separable", 4)
    assert pd.isna(row["width 1"])
    assert (row["reward"], row["accuracy"], row["entropy"], row["stopped"]) == (0.25, [0.2], 0.5, True)


def test_figures_named_as_other_columns_stand_beside_them(boasted: Path) -> None:
    table = frame(boasted, Narrow())
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert sorted(table["reward"].dropna()) == [0.5, 0.51, 0.53]
    assert table["madds"].isna().all()  # which these results do not have
    assert set(table["width 2"].dropna()) <= {4, 8, 32}
    for name, value in (("trial", 0.5), ("reward", 9), ("madds", 8), ("width 2", 7)):
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
    assert [name_of(question) for question in candidate.questions if question.link is not None] == ["link 1 0"]


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
    assert "depth 0" in frame(tmp_path, Narrow().on(Images(8, 1, 10)))


def test_a_search_of_no_trials_is_an_empty_table(tmp_path: Path) -> None:
    begin(tmp_path, 1)
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
    assert frame(tmp_path, Narrow()).empty
