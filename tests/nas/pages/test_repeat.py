from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from controllers.q_learning import QLearning
from nas import ledger
from nas.cli_app import app
from nas.data import load
from nas.ledger import FILE, sealed
from nas.model.lines import Lines
from nas.pages.repeat import command, conditions, finishing, reward
from nas.pool import Serial
from nas.recipe import RECIPES
from nas.reward import Hard, Soft, negative_loss
from nas.search import search
from nas.space import Limit
from nas.stop import Halving
from search_spaces.chain import Chain
from tests.nas.pages.conftest import judged

EVERY: dict[str, Any] = {
    "parameters": {"rate": 0.2, "schedule": "metaqnn"}, "recipe": replace(RECIPES["metaqnn"], flip=True, rate=0.02),
    "reward": negative_loss, "seed": 7, "window": 5, "limits": {"depth": Limit(3, 1, 10)}, "child_timeout": 90.5,
    "stop": Halving(factor=4.0),
}  # fmt: skip


BUILT_IN = {"space": "Chain()"}
PRICED: dict[str, Any] = {"reward": Soft(2e6), "max_madds": 10**9}


@pytest.mark.parametrize("options", [{}, EVERY, PRICED], ids=["defaults", "all", "priced"])
def test_the_command_to_repeat_a_search_goes_on_with_it(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "my search"
    data = load("digits", images=100)
    begun = search(Chain(), QLearning, data, folder, trials=3, pool=lambda _: Serial(judged), device="cpu", **options)
    assert len(list(begun)) == 3
    nas, name, *words = shlex.split(command(folder, ledger.read(folder)[0], 3))
    assert (nas, name) == ("nas", "search")
    before = (folder / FILE).read_bytes()
    typer.main.get_command(app).main(
        [name, *words, "--workers", "0"], standalone_mode=False
    )  # any other option would be refused
    assert (folder / FILE).read_bytes() == before


def test_a_search_that_was_made_longer_is_two_commands(folder: Path) -> None:
    header, _ = ledger.read(folder)
    first, second = command(folder, header, 90).splitlines()
    assert first.endswith("--trials 60")
    assert second == first.removesuffix("60") + "90"


def test_images_are_loaded_as_the_header_says(folder: Path) -> None:
    header, _ = ledger.read(folder)
    assert "--images 100" in command(folder, header, 60)
    loaded = {"images": None, "largest": 64, "image_size": 32, "skip_corrupt": True}
    text = command(folder, {**header, "data": "folder:photos", "loaded": loaded}, 60)
    assert "--data folder:photos --image-size 32 --skip-corrupt --seed" in text


def test_of_an_older_header_images_of_a_folder_are_not_counted_for_it_may_bring_its_own_validation_images(
    folder: Path,
) -> None:
    header = {name: value for name, value in ledger.read(folder)[0].items() if name != "loaded"}
    assert "--images 100" in command(folder, header, 60)
    assert "--images" not in command(folder, {**header, "data": "folder:photos"}, 60)


def test_what_is_ones_own_is_named_by_its_module(folder: Path, tmp_path: Path) -> None:
    sources = {"sources": {"mine.Small.build": "0"}}
    header = ledger.read(folder)[0] | sources | {"space": "Small(depth=2)"}
    text = command(folder, {**header, "controller": "mine.Own", "reward": "mine.my_reward"}, 60)
    assert "nas search mine.py:Small:depth=2 --out runs/one --controller mine:Own" in text
    assert "--reward mine:my_reward" in text
    made = finished(tmp_path / "a", random=[])
    assert finishing(made, header).splitlines()[0].endswith("--no-flip --space mine.py:Small:depth=2 --no-random")


def test_an_older_header_without_a_record_has_no_row_for_it(folder: Path) -> None:
    header = {name: value for name, value in ledger.read(folder)[0].items() if name not in ("code", "versions")}
    assert [name for name, _ in conditions(header)] == ["images", "their fingerprint", "recipe"]


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        (repr(Soft(1e6)), "soft:target=1e6"),
        (repr(Soft(1234567.0, "params", alpha=-0.5)), "soft:target=1234567.0,cost=params,alpha=-0.5"),
        (repr(Hard(0.25, "latency")), "hard:target=0.25,cost=latency"), ("negative_loss", "negative-loss"),
        ("accuracy", "accuracy"), ("Softer(1)", "Softer(1)"), ("mine.my_reward", "mine:my_reward"),
    ],
)  # fmt: skip
def test_a_reward_is_as_it_is_typed(written: str, typed: str) -> None:
    assert reward({"reward": written}) == typed


def finished(folder: Path, **metrics: object) -> Path:
    """A search's folder with a model, as far as its commands are told from it."""
    (folder / "model" / "explain").mkdir(parents=True)
    known = {"recipe": {"epochs": 12, "flip": False}, "seeds": 3, "ranking": [{}, {}], "random": [{}]}
    (folder / "model" / "metrics.json").write_text(json.dumps(known | metrics))
    return folder


def test_a_model_is_made_again_by_nas_finish_with_what_it_was_made_with(tmp_path: Path) -> None:
    alone = finished(tmp_path / "my search", random=[])
    assert (
        finishing(alone, BUILT_IN) == "nas finish 'runs/my search' --top 2 --seeds 3 --epochs 12 --no-flip --no-random"
    )
    given = finished(tmp_path / "given", recipe={"epochs": 1, "flip": True})
    assert finishing(given, BUILT_IN) == "nas finish runs/given --top 2 --seeds 3 --epochs 1 --flip --baseline FOLDER"
    (given / "finish" / "random").mkdir(parents=True)
    (given / "finish" / "random" / FILE).touch()
    assert finishing(given, BUILT_IN) == "nas finish runs/given --top 2 --seeds 3 --epochs 1 --flip"


def test_a_random_search_that_the_finish_was_given_is_named(tmp_path: Path) -> None:
    made, start = finished(tmp_path / "a"), "nas finish runs/a --top 2 --seeds 3 --epochs 12 --no-flip --baseline "
    with Lines(made / "finish" / "trainings.jsonl") as lines:
        lines.begin({"random": "/my runs/random"})
    assert finishing(made, BUILT_IN) == f"{start}'/my runs/random'"
    for header in (b"", b"no header\n", sealed({"format": 1, "random": True}), sealed({"format": 1})):
        (made / "finish" / "trainings.jsonl").write_bytes(header)
        assert finishing(made, BUILT_IN) == f"{start}FOLDER"


def test_a_model_that_was_explained_is_explained_again_on_the_same_images(tmp_path: Path) -> None:
    made = finished(tmp_path / "a", random=[])
    explained = {"of": "the 9 validation images of digits, which it was trained on too"}
    (made / "model" / "explain" / "explain.json").write_text(json.dumps(explained))
    assert finishing(made, BUILT_IN).splitlines()[1] == "nas explain runs/a --on validation"
    record = {"format": 1, "network": None, "written": "network 1: 8 concat gap: mine.own width=4"}
    (made / "model" / "network.json").write_text(json.dumps(record))
    assert finishing(made, BUILT_IN).splitlines()[1] == "nas explain runs/a --on validation --trust"


@pytest.mark.parametrize("metrics", [{"recipe": None}, {"seeds": [1]}, {"ranking": None}])
def test_a_model_that_does_not_say_how_it_was_made_has_no_command(metrics: dict[str, Any], tmp_path: Path) -> None:
    assert finishing(finished(tmp_path / "a", **metrics), BUILT_IN) == ""
    assert finishing(tmp_path / "none", BUILT_IN) == ""
