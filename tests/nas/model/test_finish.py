"""A search finished: undisturbed, interrupted anywhere, and once more when all is done."""

import json
import re
import shutil
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from controllers.evolution import Evolution
from controllers.random_search import RandomSearch
from nas import data as images
from nas.blocks import Block
from nas.data import load
from nas.errors import UserError
from nas.ledger import FILE as LEDGER
from nas.ledger import Ledger, Trial, sealed, unsealed
from nas.model.contest import contest, ranked_by
from nas.model.finish import _of_price, finish
from nas.model.images import all_decoded, files
from nas.model.judge import Figures
from nas.model.lines import FILE, FOLDER
from nas.model.saved import load as load_model
from nas.model.searched import Search, searched
from nas.model.trainings import Step
from nas.network import Network
from nas.pool import Serial
from nas.reward import Hard, Result
from nas.search import search
from nas.space import Choice, Pick, Space
from nas.summary import best

QUICK: dict[str, Any] = {"top": 2, "seeds": 1, "epochs": 1, "device": "cpu", "pool": Serial}
Coming = Generator[Trial | Step, None, Figures]
TEST_IMAGES = 299


class Own(Space):
    """Nine networks."""

    width = Choice(4, 8, 16)
    kernel = Choice(1, 3, 5)

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width), pick(self.kernel)),))


def ended(coming: Coming) -> tuple[list[Trial | Step], Figures]:
    """What it yielded, and its value."""
    seen = []
    while True:
        try:
            seen.append(next(coming))
        except StopIteration as end:
            return seen, end.value


def timeless(figures: object) -> object:
    """The same without what no two runs share: seconds."""
    if isinstance(figures, dict):
        return {name: timeless(value) for name, value in figures.items() if "seconds" not in name}
    return [timeless(value) for value in figures] if isinstance(figures, list) else figures


def refuses_other_weights(folder: Path) -> None:
    """That a finish whose trainings are all done takes no weights but theirs to the test images."""
    weights = sorted((folder / FOLDER / "weights").iterdir())
    weights[0].write_bytes(weights[1].read_bytes())
    with pytest.raises(UserError, match="found other weights, expected the weights that were trained; remove"):
        ended(finish(searched(folder, Own()), **QUICK, random=False))
    weights[0].unlink()
    with pytest.raises(UserError, match="found No such file or directory, expected the weights that were trained"):
        ended(finish(searched(folder, Own()), **QUICK, random=False))


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nobody has finished."""
    folder = tmp_path_factory.mktemp("search") / "begun"
    for _ in search(Own(), Evolution, load("digits", images=100), folder, trials=3, device="cpu", pool=Serial):
        pass
    return folder


@pytest.fixture(scope="module")
def done(begun: Path) -> tuple[Search, list[Trial | Step], Figures]:
    """The same, finished undisturbed."""
    folder = begun.parent / "done"
    shutil.copytree(begun, folder)
    found = searched(folder, Own())
    return found, *ended(finish(found, **QUICK))


@pytest.fixture
def copied(done: tuple[Search, list[Trial | Step], Figures], tmp_path: Path) -> Callable[[], Search]:
    """The finished search in a folder that a test may spoil."""

    def copy() -> Search:
        shutil.copytree(done[0].folder, tmp_path / "copy")
        return searched(tmp_path / "copy", Own())

    return copy


def test_all_stand_in_one_table(done: tuple[Search, list[Trial | Step], Figures]) -> None:
    _, seen, figures = done
    names = [row["name"] for row in figures["rows"]]
    assert names == [
        "this search", "random search", "MLP", "plain CNN", "ResNet-20", "MobileNet V1", "MobileNet V2",
    ]  # fmt: skip
    assert {len(row["accuracies"]) for row in figures["rows"]} == {1}
    assert {row["images"] for row in figures["rows"]} == {figures["images"]["test"]} == {TEST_IMAGES}
    assert len(figures["ranking"]) == len(figures["random"]) == 2
    assert sum(isinstance(one, Trial) for one in seen) >= 3
    assert figures["verdict"]


def test_the_first_of_the_ranking_is_the_model(done: tuple[Search, list[Trial | Step], Figures]) -> None:
    _, _, figures = done
    ranking = [one["accuracy"] for one in figures["ranking"]]
    assert ranking == sorted(ranking, reverse=True)
    assert figures["model"]["key"] == figures["rows"][0]["key"] == figures["ranking"][0]["key"]


def test_the_model_that_is_left_has_the_accuracy_that_is_said(
    done: tuple[Search, list[Trial | Step], Figures],
) -> None:
    found, _, figures = done
    pixels, labels = images.test_images("digits")
    logits = load_model(found.folder / "model").logits(torch.from_numpy(np.array(pixels)))
    assert float((logits.argmax(1).numpy() == labels).mean()) == figures["model"]["accuracy"]
    assert json.loads((found.folder / "model" / "metrics.json").read_text()) == figures
    assert len(list((found.folder / FOLDER / "weights").iterdir())) == 1  # the model's own


def test_the_card_says_what_it_is_of_and_how_good(done: tuple[Search, list[Trial | Step], Figures]) -> None:
    found, _, figures = done
    card = (found.folder / "model" / "README.md").read_text()
    for text in (
        "# A network for digits", f"Test accuracy {100 * figures['model']['accuracy']:.2f} %, 95 % interval",
        "## Use", "## Data", "## Beside others", "| MobileNet V2 |", *figures["verdict"], "## Search",
        "10 classes: `0`, `1`, ", "Own(), 9 networks, Evolution", "## Limits",
    ):  # fmt: skip
        assert text in card


def test_what_its_random_search_took_is_said_beside_its_own_trainings(
    done: tuple[Search, list[Trial | Step], Figures],
) -> None:
    found, seen, figures = done
    trained = [one.result.seconds for one in seen if isinstance(one, Trial) and one.result]
    assert figures["random_seconds"] == round(sum(trained), 1)
    assert figures["seconds"] == round(sum(one.trained.seconds for one in seen if isinstance(one, Step)), 1)
    card = (found.folder / "model" / "README.md").read_text()
    assert re.search(r"Finishing took .+ of training more, the random search beside it .+\. On ", card)


def test_a_finish_that_is_done_trains_and_tests_nothing_again(
    done: tuple[Search, list[Trial | Step], Figures],
) -> None:
    found, _, figures = done
    before = (found.folder / FOLDER / FILE).read_bytes()
    assert ended(finish(found, **QUICK)) == ([], figures)
    assert ended(finish(found)) == ([], figures)  # with the options that it was begun with
    assert (found.folder / FOLDER / FILE).read_bytes() == before


def test_interrupted_again_and_again_it_comes_to_the_same(
    begun: Path, done: tuple[Search, list[Trial | Step], Figures], tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(begun, folder)
    options = QUICK
    for steps in (1, 3, 2):  # in the random search, while networks are ranked, while they are trained in full
        coming = finish(searched(folder, Own()), **options)
        assert [next(coming) for _ in range(steps)]
        coming.close()
        options = {name: QUICK[name] for name in ("device", "pool")}  # the others are as it was begun with
    last, figures = ended(finish(searched(folder, Own()), **options))
    assert 6 + len(last) == len(done[1])
    assert timeless(figures) == timeless(done[2])


def test_test_images_are_not_touched_before_all_is_trained_nor_with_other_weights(begun: Path, tmp_path: Path) -> None:
    folder = tmp_path / "untouched"
    shutil.copytree(begun, folder)
    coming = finish(searched(folder, Own()), **QUICK, random=False)
    for _ in range(2 + 6):  # ranked: 2 networks; in full: the first and five peers
        next(coming)
    coming.close()
    lines = (folder / FOLDER / FILE).read_text().splitlines()
    assert len(lines) == 1 + 8
    assert not any("outcome" in line for line in lines)
    refuses_other_weights(folder)


@pytest.mark.parametrize(
    ("options", "there", "here"),
    [({"seeds": 3}, "--seeds 1", "--seeds 3; leave --seeds out"), ({"epochs": 2}, "--epochs 1", "--epochs 2"),
     ({"top": 1}, "--top 2", "--top 1"), ({"flip": True}, "--no-flip", "--flip"),
     ({"random": False}, "--random", "--no-random"), ({"baseline": "/elsewhere"}, "no --baseline", "--baseline /else")],
)  # fmt: skip
def test_other_options_are_refused_by_their_names(
    done: tuple[Search, list[Trial | Step], Figures], options: dict[str, Any], there: str, here: str
) -> None:
    said = (
        f"found a finish begun with {there}, expected the same in this command, which has {here}.* or remove .*{FILE}"
    )
    with pytest.raises(UserError, match=said):
        next(finish(done[0], **(QUICK | options)))


def test_a_baseline_and_no_random_search_exclude_each_other(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun, tmp_path / "both")
    with pytest.raises(UserError, match="--baseline: found it with --no-random, expected one of them; leave one out"):
        next(finish(searched(tmp_path / "both", Own()), random=False, baseline=begun))


def test_a_search_that_went_on_since_is_refused(copied: Callable[[], Search]) -> None:
    found = copied()
    better = replace(found.trials[0], trial=3, reward=0.99)
    with Ledger(found.folder) as ledger:
        ledger.append(better)
    with pytest.raises(
        UserError, match=r"found a finish begun with best trials .*, expected \[3, .* the search, its images"
    ):
        next(finish(searched(found.folder, Own()), **QUICK))


def remove(model: Path) -> None:
    shutil.rmtree(model)


def change_a_byte(model: Path) -> None:
    written = bytearray((model / "weights.safetensors").read_bytes())
    written[-1] ^= 1
    (model / "weights.safetensors").write_bytes(written)


def lose_the_description(model: Path) -> None:
    (model / "network.json").unlink()


def lose_the_figures(model: Path) -> None:
    (model / "metrics.json").write_text("{}")


@pytest.mark.parametrize("spoil", [remove, change_a_byte, lose_the_description, lose_the_figures])
def test_a_model_that_is_gone_or_damaged_is_written_anew_and_what_users_put_there_stays(
    copied: Callable[[], Search], spoil: Callable[[Path], None]
) -> None:
    found = copied()
    model = found.folder / "model"
    before = (model / "weights.safetensors").read_bytes()
    (model / "thesis.txt").write_text("mine")
    spoil(model)
    kept = model.exists()
    _, figures = ended(finish(found))
    assert (model / "thesis.txt").exists() == kept
    assert (model / "weights.safetensors").read_bytes() == before
    assert json.loads((model / "metrics.json").read_text()) == figures
    assert load_model(model).network.key == figures["model"]["key"]


def test_an_outcome_that_names_a_place_elsewhere_is_refused_and_nothing_is_removed_there(
    copied: Callable[[], Search],
) -> None:
    found = copied()
    path = found.folder / FOLDER / FILE
    *lines, last = path.read_bytes().splitlines(keepends=True)
    outcome = unsealed(last.rstrip())["outcome"]
    (found.folder / "victim").mkdir()
    (found.folder / "victim" / "thesis.safetensors").touch()
    outcome["model"]["seed"] = "/../../../victim/x"
    path.write_bytes(b"".join(lines) + sealed({"outcome": outcome}))
    with pytest.raises(UserError, match="found an outcome that no `nas finish` writes"):
        ended(finish(found))
    assert (found.folder / "victim" / "thesis.safetensors").exists()


def test_a_whole_model_stays_as_it_is_without_weights_to_write_it_from(copied: Callable[[], Search]) -> None:
    found = copied()
    shutil.rmtree(found.folder / FOLDER / "weights")
    (found.folder / "model" / "README.md").write_text("my own words")
    ended(finish(found))
    assert (found.folder / "model" / "README.md").read_text() == "my own words"


def test_a_model_whose_weights_are_gone_too_is_trained_anew_as_the_message_says(copied: Callable[[], Search]) -> None:
    found = copied()
    shutil.rmtree(found.folder / "model")
    shutil.rmtree(found.folder / FOLDER / "weights")
    said = f"found No such file or directory, expected the weights that were trained; remove .*{FOLDER}/{FILE}, and the"
    with pytest.raises(UserError, match=said):
        ended(finish(found))
    (found.folder / FOLDER / FILE).unlink()
    first = next(finish(found, **QUICK))
    assert isinstance(first, Step)  # the random search is still there
    assert first.done == 1


def test_a_search_for_a_price_crowns_what_its_reward_ranks_first(tmp_path: Path) -> None:
    data, reward = load("digits", images=100), Hard(1.0, "params")
    for _ in search(Own(), Evolution, data, tmp_path, trials=3, reward=reward, device="cpu", pool=Serial):
        pass
    found = searched(tmp_path, Own())
    coming = finish(found, top=3, seeds=1, epochs=1, random=False, device="cpu", pool=Serial)
    again = [one.trained for one in (next(coming), next(coming), next(coming)) if isinstance(one, Step)]
    coming.close()
    assert [one.reward for one in again] == [pytest.approx((one.accuracy or 0) / (one.params or 0)) for one in again]
    of = contest(found, best(found.trials, 3), [], 1)
    first = of.finalists({one.task: one for one in again}, len(data.valid))["this search"]
    assert first == max(again, key=lambda one: one.reward or 0).key
    assert ranked_by(found) == "by the search's reward, Hard(target=1.0, cost='params', alpha=0.0, beta=-1.0)"
    rows: list[Figures] = [
        {"name": "this search", "key": first, "accuracy": 0.5, "params": 10, "madds": 1},
        {"name": "MLP", "key": "a peer", "accuracy": 0.9, "params": 100, "madds": 1},
        {"name": "CNN", "key": "another", "error": "out of memory"},
    ]
    said = _of_price(found, of, rows)
    assert "was for accuracy at a price, Hard(target=1.0, " in said[0]
    assert said[1] == "By that reward, of the accuracy on test images: this search 0.0500, MLP 0.0090."
    in_time = found._replace(header=found.header | {"reward": repr(Hard(1.0, "latency"))})
    assert len(_of_price(in_time, of, rows)) == 1  # no latency was measured


def test_a_search_within_bounds_says_them_and_who_is_above(tmp_path: Path) -> None:
    data = load("digits", images=100)
    bounds: dict[str, Any] = {"max_params": 280_000, "max_latency_ms": 1e6}
    for _ in search(Own(), Evolution, data, tmp_path, trials=1, device="cpu", pool=Serial, **bounds):
        pass
    found = searched(tmp_path, Own())
    figures = ended(finish(found, **QUICK, random=False))[1]
    assert figures["search"]["bounds"] == bounds
    said = figures["verdict"][-3:]
    assert said[0] == (
        "The search was for networks within max_params=280,000, max_latency_ms=1,000,000.0; what it is compared with "
        "may cost more."
    )
    assert re.findall(r"([\w -]+) \([\d,]+ parameters\)", said[1]) == [
        " MLP", " plain CNN", " MobileNet V1", " MobileNet V2",
    ]  # fmt: skip
    assert said[2] == "Not known to be within them, for no latency was measured: ResNet-20."
    card = (tmp_path / "model" / "README.md").read_text()
    assert figures["random_seconds"] is None  # there was none
    assert " of training more. On " in card
    assert "reward accuracy, within max_params=280,000, max_latency_ms=1,000,000.0: 1 trial" in card
    assert all(sentence in card for sentence in said)


def own_reward(result: Result) -> float:
    return result.accuracy[-1] / 2


def test_a_search_for_ones_own_reward_is_ranked_by_accuracy_and_says_so(tmp_path: Path) -> None:
    data = load("digits", images=100)
    for _ in search(Own(), Evolution, data, tmp_path, trials=1, reward=own_reward, device="cpu", pool=Serial):
        pass
    found = searched(tmp_path, Own())
    said = r"by validation accuracy: the search's reward, \S*\.own_reward, is code of your own, which its ledger lacks"
    assert re.fullmatch(said, ranked_by(found))
    assert contest(found, best(found.trials, 3), [], 1).reward is None
    assert _of_price(found, contest(found, best(found.trials, 3), [], 1), []) == []


def test_a_random_search_has_no_random_search_beside_it(tmp_path: Path) -> None:
    data = load("digits", images=100)
    for _ in search(Own(), RandomSearch, data, tmp_path, trials=1, device="cpu", pool=Serial):
        pass
    coming = finish(searched(tmp_path, Own()), **QUICK)
    first = next(coming)
    coming.close()
    assert isinstance(first, Step)
    assert not (tmp_path / FOLDER / "random" / LEDGER).exists()


def test_a_file_of_the_test_images_is_shown_to_the_model_as_it_was_tested(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):  # larger than any network of the space takes, and so decoded smaller
        place = tmp_path / "photos" / ("test" if number % 4 == 3 else "train") / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(place / f"{number}.png")
    data = load(f"folder:{tmp_path / 'photos'}", largest=8)
    for _ in search(Own(), Evolution, data, tmp_path / "out", trials=3, window=1, device="cpu", pool=Serial):
        pass
    ended(finish(searched(tmp_path / "out", Own()), **QUICK, random=False))
    model = load_model(tmp_path / "out")
    tested, _ = images.test_images(data.name, largest=8)
    shown = all_decoded(files([tmp_path / "photos" / "test"]), model)
    assert shown.tolist() == tested.tolist()
