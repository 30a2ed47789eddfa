"""What a finish has of options that are typed, that it was begun with, and that suit its search."""

from pathlib import Path
from typing import Any

import pytest

from nas.data import Data
from nas.errors import UserError
from nas.ledger import Trial
from nas.model.lines import Lines
from nas.model.options import settled
from nas.model.searched import Search
from nas.reward import Result
from nas.space import Space

TRIALS = [Trial(number, (), str(number), "", 0.5, Result((0.5,), (1.0,))) for number in range(7)]
USUAL = {"top": 5, "seeds": 3, "epochs": 12, "flip": False, "baseline": None, "random": True}


def options(
    digits: Data, folder: Path, begun: object = None, controller: str = "Evolution", epochs: int = 1, **typed: Any
) -> dict[str, Any]:
    """Of seven networks, each trained for so many epochs. begun: what the finish's header has of options."""
    search = Search(folder, {"controller": controller, "recipe": {"epochs": epochs}}, TRIALS, Space(), digits, {})
    with Lines(folder / "lines") as lines:
        lines.begin({"options": begun} if begun else {})
        return settled(search, lines, **typed)


def test_what_is_not_typed_suits_the_search(digits: Data, tmp_path: Path) -> None:
    assert options(digits, tmp_path) == USUAL  # digits are other ones in a mirror
    assert options(digits, tmp_path / "long", epochs=6)["epochs"] == 24
    assert options(digits, tmp_path / "random", controller="RandomSearch")["random"] is False


def test_what_is_typed_comes_first_and_there_are_no_more_networks_than_the_search_has(
    digits: Data, tmp_path: Path
) -> None:
    assert options(digits, tmp_path, seeds=1, flip=True, top=None) == USUAL | {"seeds": 1, "flip": True}
    assert options(digits, tmp_path / "many", top=50)["top"] == 7


def test_what_a_finish_was_begun_with_stays(digits: Data, tmp_path: Path) -> None:
    begun = USUAL | {"seeds": 1, "random": False, "epochs": 2}
    assert options(digits, tmp_path, begun) == begun
    assert options(digits, tmp_path / "same", begun, seeds=1, random=False, top=5) == begun


@pytest.mark.parametrize(
    ("name", "there", "here", "said"),
    [
        ("seeds", 1, 3, "--seeds 1, expected the same in this command, which has --seeds 3; leave --seeds out"),
        ("random", False, True, "--no-random, expected the same in this command, which has --random; leave"),
        ("baseline", "/a", "/b", "--baseline /a, expected the same in this command, which has --baseline /b"),
        ("baseline", None, "/b", "no --baseline, expected the same in this command, which has --baseline /b"),
    ],
)
def test_another_one_is_refused(digits: Data, tmp_path: Path, name: str, there: Any, here: Any, said: str) -> None:
    with pytest.raises(UserError, match=f"found a finish begun with {said}.* or remove .*lines to begin anew"):
        options(digits, tmp_path, USUAL | {name: there}, **{name: here})
