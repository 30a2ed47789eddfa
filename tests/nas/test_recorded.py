"""A search's space, limits, reward and rule, found again by its ledger's header."""

from pathlib import Path
from typing import Any

import pytest

from nas import names, recorded
from nas.data import native
from nas.errors import UserError
from nas.reward import UNBOUND, Bounds, Hard, Reward, Soft, accuracy, macro_f1
from nas.space import Limit, Space
from nas.stop import Halving
from search_spaces.chain import Chain
from search_spaces.metaqnn import MetaQnn
from search_spaces.mobile import Mobile


def written(space: Space, data: str = "digits") -> dict[str, Any]:
    """Of a ledger's header, what its space is found by."""
    choices = {name: [repr(option) for option in choice.options] for name, choice in space.choices.items()}
    limits = {name: list(limit) for name, limit in space.limits.items()}
    return {"space": repr(space), "choices": choices, "limits": limits, "data": data}


def test_the_built_in_space_of_a_search_is_found_again_on_its_data() -> None:
    space = Mobile().on(native("cifar100"), {"depth": Limit(2, 1, 50)})
    for searched in (space, MetaQnn(depth=4).on(space.images)):
        found = recorded.space(written(searched, "cifar100"), [])
        assert found is not None
        assert (repr(found), found.images, found.limits) == (repr(searched), searched.images, searched.limits)


@pytest.mark.parametrize(
    "typed",
    [
        *("chain", "mobile", "metaqnn", "metaqnn:depth=6", "nasbench201", "nasbench201:channels=8,cells=1"),
        *("stages", "stages:widest=64"),
        *("zoph", "zoph:depth=8", "zoph:shallowest=4", "zoph:strides=true", "zoph:depth=9,shallowest=2,strides=true"),
    ],
)
def test_a_built_in_space_is_found_again_whatever_its_parameters(typed: str) -> None:
    space = names.space(typed)
    found = recorded.space(written(space), [])
    assert found is not None
    assert written(found) == written(space)


def test_the_default_zoph_of_ledgers_that_do_not_name_its_depth_is_still_found() -> None:
    zoph = written(names.space("zoph"))
    found = recorded.space(zoph | {"space": "Zoph(strides=False)"}, [])
    assert found is not None
    assert written(found) == zoph


def test_built_in_spaces_are_written_as_ledgers_have_them() -> None:
    texts = [repr(names.space(name)) for name in ("chain", "mobile", "metaqnn:depth=6", "nasbench201:cells=1")]
    assert texts == ["Chain()", "Mobile()", "MetaQnn(depth=6)", "NasBench201(channels=16, cells=1)"]


@pytest.mark.parametrize(
    "fields", [{"space": "Mine()"}, {"space": "Chain(size=3)"}, {"data": "folder:gone"}, {"choices": {"depth": ["2"]}}]
)
def test_a_space_that_is_no_built_in_or_has_changed_or_lost_its_data_is_not_found(fields: dict[str, Any]) -> None:
    assert recorded.space(written(Chain()), []) is not None
    assert recorded.space(written(Chain()) | fields, []) is None


@pytest.mark.parametrize(
    "named", ["mine.py:Mine", "mine:Mine()", "Mine()", "Chain(mine.py:Mine)", "chain:mine.py:Mine"]
)
@pytest.mark.parametrize("field", ["space", "data", "controller"])
def test_no_file_that_a_ledger_names_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, named: str
) -> None:
    (tmp_path / "mine.py").write_text("from pathlib import Path\nPath('ran').touch()\nclass Mine: ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = recorded.space(written(Chain()) | {field: named}, [])
    assert (found is None) == (field != "controller")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match="expected a subclass of"):
        names.space("mine.py:Mine")  # typed, it is run
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("made", [accuracy, macro_f1, Soft(2e6), Hard(0.5, "latency", beta=-2.0)])
def test_a_built_in_reward_is_found_again_by_its_header(made: Reward) -> None:
    assert recorded.reward({"reward": getattr(made, "__name__", repr(made))}) == made


@pytest.mark.parametrize(
    "written",
    [
        "mine.small",
        "Soft(target=0.0)",
        "Soft(target=__import__('os'))",
        "Soft(weight=1)",
        "Soft(target='a')",
        "Soft(((",
        f"Soft(target={'-' * 5_000}1)",
        f"Soft(target={'-' * 200_000}1)",
        "",
    ],
)
def test_a_reward_that_is_no_built_in_is_not_found_and_nothing_is_run(written: str) -> None:
    assert recorded.reward({"reward": written}) is None


def test_a_built_in_rule_is_found_again_by_its_header() -> None:
    assert recorded.stop({"stop": repr(Halving(first=3))}) == Halving(first=3)
    assert recorded.stop({"stop": "mine.Rule()"}) is None
    assert recorded.stop({}) is None


def test_the_space_of_a_search_has_its_bounds() -> None:
    header = written(Chain()) | {"max_params": 5_000}
    found = recorded.space(header, [])
    assert found is not None
    assert found.bounds == Bounds(max_params=5_000)
    assert recorded.bounds(written(Chain())) == UNBOUND


def test_a_space_of_ones_own_is_held_against_the_header(tmp_path: Path) -> None:
    space = MetaQnn(depth=4).on(native("digits"))
    limited = written(space) | {"limits": {}}
    assert repr(recorded.held(space, limited, [], tmp_path)) == "MetaQnn(depth=4)"
    with pytest.raises(UserError, match=r"found a search of MetaQnn\(depth=4\), expected one of MetaQnn\(depth=6\)"):
        recorded.held(MetaQnn(depth=6).on(native("digits")), limited, [], tmp_path)


@pytest.mark.parametrize(
    ("header", "typed"),
    [
        ({"space": "Small()"}, "FILE.py:Small"),
        ({"space": "Small(depth=2, kind='a')", "sources": {"mine.Small.build": "0"}}, "mine.py:Small:depth=2,kind=a"),
        ({"space": "Small()", "sources": {"package.mine.Small": "0"}}, "package.mine:Small"),
    ],
)
def test_a_space_of_ones_own_is_named_as_far_as_a_header_tells(header: dict[str, Any], typed: str) -> None:
    assert recorded.as_typed(header) == typed
