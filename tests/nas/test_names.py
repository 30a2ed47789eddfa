"""From what is typed to the thing, and what is said where there is none."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controllers.evolution import Evolution
from controllers.optuna_search import OptunaSearch
from controllers.reinforce import Reinforce
from nas import names
from nas.errors import UserError
from nas.recipe import RECIPES, Recipe
from nas.reward import Hard, Result, Soft, accuracy
from nas.space import Limit, Space
from nas.stop import Halving, Prediction
from search_spaces.chain import Chain
from search_spaces.metaqnn import MetaQnn
from search_spaces.zoph import Zoph

ROOT = Path(__file__).parents[2]

MINE = '''
from typing import Optional

from nas import Block, Choice, Network, Pick, Space

SIZE = 8


class Small(Space):
    """One block."""

    width = Choice(4, 8)

    def __init__(self, depth: int = 1, share: float = 0.5, wide: bool = False, name: str = "a",
                 most: Optional[int] = 3, least: int | None = 1):
        self.depth, self.share, self.wide, self.text, self.most, self.least = depth, share, wide, name, most, least

    def build(self, pick: Pick) -> Network:
        return Network(SIZE, (Block("conv", pick(self.width)),) * self.depth)


class Picky(Small):
    def __init__(self) -> None:
        raise ZeroDivisionError("no luck")


class First:
    """Answers with the first option."""

    def __init__(self, space: Space, seed: int, length: int, patience: int = 2) -> None:
        self.space = space

    def ask(self, trial, pending):
        return self.space.walk(lambda question: question.legal[0], trial)

    def tell(self, trial, candidate, reward):
        pass


def half(result):
    return result.accuracy[-1] / 2
'''


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the user's with mine.py, in which the test runs; its modules are forgotten after it."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def values(space: Any) -> tuple[Any, ...]:
    return space.depth, space.share, space.wide, space.text, space.most, space.least


# --- built in ---


def test_every_space_and_controller_has_the_name_of_its_file() -> None:
    assert list(names.spaces()) == ["chain", "metaqnn", "mobile", "nasbench201", "stages", "zoph"]
    assert {"evolution", "optuna", "q-learning", "random", "reinforce"} <= set(names.controllers())


def test_a_built_in_space_is_found_by_its_name() -> None:
    assert isinstance(names.space("chain"), Chain)


def test_parameters_follow_a_colon() -> None:
    space = names.space("zoph:depth=9,strides=true")
    assert isinstance(space, Zoph)
    assert (space.depth.options, space.strides) == ((6, 8, 9), True)


def test_a_file_is_loaded_once_under_its_own_name() -> None:
    space, controller = names.space("mine:Small"), names.controller("mine:First")[0]
    assert type(space).__module__ == controller.__module__ == "mine"
    assert type(space) is sys.modules["mine"].Small


def test_one_bare_value_is_the_first_parameter() -> None:
    space = names.space("metaqnn:12")
    assert isinstance(space, MetaQnn)
    assert space.depth == 12
    assert names.controller("optuna:random") == (OptunaSearch, {"sampler": "random"})


def test_a_controller_is_its_class_and_its_parameters() -> None:
    assert names.controller("reinforce") == (Reinforce, {})
    assert names.controller("evolution:population=5", ["sample=2"]) == (Evolution, {"population": 5, "sample": 2})
    assert names.controller("reinforce", ["rate=0.5", "batch = 4"]) == (Reinforce, {"rate": 0.5, "batch": 4})


def test_a_setting_has_the_last_word() -> None:
    assert names.controller("evolution:population=5", ["population=7"]) == (Evolution, {"population": 7})


def test_a_dash_in_a_parameters_name_is_an_underscore() -> None:
    assert names.recipe("metaqnn:step-epochs=2").step_epochs == 2


def test_a_recipe_with_fields_set() -> None:
    assert names.recipe("quick") == RECIPES["quick"]
    changed = names.recipe("quick:rate=0.02,flip=yes,class_weights=balanced", epochs=3)
    assert changed == Recipe(epochs=3, rate=0.02, warmup=0.1, flip=True, class_weights="balanced")


@pytest.mark.parametrize(
    ("typed", "limit"),
    [
        ("depth=6+2/1600", {"depth": Limit(6, 2, 1600)}),
        ("depth=6", {"depth": Limit(6)}),
        ("share=-0.5+0.25/10", {"share": Limit(-0.5, 0.25, 10)}),
        ("a=b=6", {"a=b": Limit(6)}),  # choices may have any name
    ],
)
def test_a_limit_begins_somewhere_and_may_grow(typed: str, limit: dict[str, Limit]) -> None:
    assert names.limits([typed]) == limit
    assert names.limits(f"{name}={written}" for name, written in limit.items()) == limit


def test_two_limits_on_one_choice_are_refused() -> None:
    with pytest.raises(UserError, match=r"--limit: found depth=6 and depth=8\+1/5, expected one for depth; leave one"):
        names.limits(["depth=6", "width=3", "depth=8+1/5"])


@pytest.mark.parametrize(
    "typed",
    ["depth", "depth=", "=6", "depth=six", "depth=6+2", "depth=6+2/0", "depth=6-2/5", "depth=nan", "depth=6+2/.5"],
)
def test_what_is_no_limit_is_refused_with_an_example(typed: str) -> None:
    message = (
        f"--limit: found '{typed}', expected CHOICE=START or CHOICE=START+STEP/EVERY with EVERY in trials, at least"
    )
    with pytest.raises(UserError) as raised:
        names.limits([typed])
    assert str(raised.value).startswith(message)


def test_a_preset_by_name() -> None:
    assert names.preset("metaqnn").controller == "q-learning"
    with pytest.raises(UserError, match=r"preset: found 'metaqn'; did you mean metaqnn\?, expected one of zoph2017, "):
        names.preset("metaqn")


def test_a_reward_by_name() -> None:
    assert names.reward("accuracy") is accuracy


@pytest.mark.parametrize(
    ("typed", "made"),
    [
        ("soft:target=2e6,cost=madds", Soft(2e6)),
        ("soft:1000", Soft(1000)),
        ("hard:cost=latency,target=5", Hard(5, "latency")),
        ("soft:target=1,alpha=-0.1,beta=-0.2", Soft(1, alpha=-0.1, beta=-0.2)),
    ],
)
def test_a_price_with_its_parameters(typed: str, made: object) -> None:
    assert names.reward(typed) == made


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("soft", "reward soft: found no target=, expected a number above 0 of multiply-adds, as in soft:target=2e6"),
        ("hard:cost=params", "reward hard: found no target=, expected a number above 0 of parameters, as in hard:"),
        ("soft:target=0", "reward soft: found the target 0, expected a number above 0"),
        ("hard:target=-5", "reward hard: found the target -5, expected a number above 0"),
        ("soft:target=nan", "reward soft: target: found 'nan', expected a finite number"),
        ("soft:target=many", "reward soft: target: found 'many', expected a value of type float"),
        ("soft:traget=5", "reward soft: found the parameter traget; did you mean target?, expected one of"),
        ("soft:target=5,cost=time", "reward soft: found the cost 'time', expected one of params, madds, latency"),
        ("sotf", "reward: found 'sotf'; did you mean soft?, expected one of accuracy"),
    ],
)
def test_what_is_no_price(typed: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        names.reward(typed)
    assert str(error.value).startswith(said)


def test_a_cost_by_name() -> None:
    assert names.cost("params") == "params"
    with pytest.raises(UserError, match=r"--cost: found 'param'; did you mean params\?, expected one of params, madds"):
        names.cost("param")


def test_a_rule_by_name_with_its_parameters() -> None:
    assert names.stop("none") is None
    assert names.stop("halving") == Halving()
    assert names.stop("halving:factor=4,first=1") == Halving(4, 1)
    assert names.stop("prediction:0.99") == Prediction(0.99)


# --- one's own ---


@pytest.mark.parametrize("typed", ["mine.py:Small", "./mine.py:Small", "mine:Small"])
def test_a_space_of_ones_own_comes_from_a_file_or_a_module_here(typed: str) -> None:
    assert values(names.space(typed)) == (1, 0.5, False, "a", 3, 1)


def test_a_file_may_lie_anywhere(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert type(names.space("../mine.py:Small")).__name__ == "Small"
    assert type(names.space(f"{here}/mine.py:Small")).__name__ == "Small"


def test_a_module_may_be_in_a_package(here: Path) -> None:
    (here / "ours").mkdir()
    (here / "mine.py").rename(here / "ours" / "small.py")
    assert values(names.space("ours.small:Small:depth=2"))[0] == 2


def test_a_file_may_import_its_neighbours(here: Path) -> None:
    (here / "sizes.py").write_text("SIZE = 16\n")
    (here / "mine.py").write_text(MINE.replace("SIZE = 8", "from sizes import SIZE"))
    assert next(names.space("mine.py:Small").candidates()).network.input_size == 16


def test_texts_become_what_the_annotations_say() -> None:
    typed = names.space("mine.py:Small:depth=2,share=1e-3,wide=Yes,name=7,most=none,least=None")
    assert values(typed) == (2, 0.001, True, "7", None, None)
    assert values(names.space("mine.py:Small:most=5,least=2,wide=0")) == (1, 0.5, False, "a", 5, 2)
    assert values(names.space("mine.py:Small:4"))[0] == 4


def test_what_a_class_passes_on_is_no_parameter_of_its_own() -> None:
    class Mine:
        def __init__(self, space: Space, seed: int, length: int, rate: float = 0.1, *_: int, **others: float) -> None:
            pass

    assert list(names.parameters(Mine, 3)) == ["rate"]


def test_a_controller_of_ones_own_has_parameters_beyond_its_first_three() -> None:
    kind, parameters = names.controller("mine.py:First", ["patience=5"])
    assert (kind.__name__, parameters) == ("First", {"patience": 5})
    assert names.controller("mine.py:First:7")[1] == {"patience": 7}


def test_a_reward_of_ones_own() -> None:
    assert names.reward("mine.py:half")(Result((0.5,))) == 0.25
    assert names.reward("math:sqrt")(4.0) == 2.0  # type: ignore[arg-type]


def test_a_file_named_like_an_installed_module_is_found_and_hides_nothing(here: Path) -> None:
    (here / "mine.py").rename(here / "random.py")
    assert type(names.space("random.py:Small")).__name__ == "Small"
    assert hasattr(sys.modules["random"], "Random")


# --- errors ---

ERRORS = [
    (
        lambda: names.space("chian"),
        "space: found 'chian'; did you mean chain?, expected one of chain, metaqnn, mobile, nasbench201, stages, zoph, "
        "or one of your own as file.py:Class or module:Class",
    ),
    (
        lambda: names.space("x"),
        "space: found 'x', expected one of chain, metaqnn, mobile, nasbench201, stages, zoph, "
        "or one of your own as file.py:Class or module:Class",
    ),
    (
        lambda: names.controller("reinforced"),
        "controller: found 'reinforced'; did you mean reinforce?, expected one of "
        f"{', '.join(names.controllers())}, or one of your own as file.py:Class or module:Class",
    ),
    (
        lambda: names.recipe("fast"),
        "recipe: found 'fast', expected one of quick, zoph2017, metaqnn, nasbench201",
    ),
    (
        lambda: names.reward("acuracy"),
        "reward: found 'acuracy'; did you mean accuracy?, expected one of accuracy, cubed, negative-loss, "
        "balanced-accuracy, macro-f1, soft, hard, or module:function",
    ),
    (
        lambda: names.space("metaqnn:length=3"),
        "space metaqnn: found the parameter length, expected one of depth",
    ),
    (
        lambda: names.space("chain:length=3"),
        "space chain: found the parameter length, expected one of none",
    ),
    (
        lambda: names.space("metaqnn:depth=many"),
        "space metaqnn: depth: found 'many', expected a value of type int",
    ),
    (
        lambda: names.space("metaqnn:depth=1.5"),
        "space metaqnn: depth: found '1.5', expected a value of type int",
    ),
    (
        lambda: names.space("zoph:strides=maybe"),
        "space zoph: strides: found 'maybe', expected true or false",
    ),
    (
        lambda: names.space("zoph:9,strides"),
        "space zoph: found '9', expected name=value",
    ),
    (
        lambda: names.space("metaqnn:0"),
        "metaqnn: found depth 0, expected at least 1 layer",
    ),
    (
        lambda: names.controller("evolution", ["5"]),
        "--set: found '5', expected name=value",
    ),
    (
        lambda: names.controller("evolution", ["mutations=5"]),
        "controller evolution: found the parameter mutations; did you mean population?, expected one of population, "
        "sample",
    ),
    (
        lambda: names.controller("random", ["rate=1"]),
        "controller random: found the parameter rate, expected one of none",
    ),
    (
        lambda: names.recipe("quick:rat=1"),
        f"recipe quick: found the parameter rat; did you mean rate?, expected one of {', '.join(vars(Recipe()))}",
    ),
    (
        lambda: names.recipe("quick:rate=high"),
        "recipe quick: rate: found 'high', expected a value of type float",
    ),
    (
        lambda: names.space("yours.py:Small"),
        "yours.py: found no such file, expected a Python file; name one that exists, as in mine.py:Small",
    ),
    (
        lambda: names.space("yours:Small"),
        "yours: found no module yours, expected a file.py or a module to import",
    ),
    (
        lambda: names.space("mine.py:Smal"),
        "mine.py:Smal: found no Smal there; did you mean Small?, expected one of Small, Picky, First, half",
    ),
    (
        lambda: names.space("mine.py:First"),
        "space mine.py:First: found <class 'mine.First'>, expected a subclass of nas.Space",
    ),
    (
        lambda: names.controller("mine.py:Small"),
        "controller mine.py:Small: found <class 'mine.Small'>, expected a class with ask and tell",
    ),
    (
        lambda: names.space("mine.py:Picky"),
        "mine.py:Picky: found ZeroDivisionError: no luck (mine.py, line 24), expected an instance",
    ),
    (
        lambda: names.reward("mine.py:SIZE"),
        "reward mine.py:SIZE: found 8, expected a function of a result, giving a number",
    ),
    (
        lambda: names.stop("halvin"),
        "stop: found 'halvin'; did you mean halving?, expected one of none, halving, prediction, or one of your own as "
        "file.py:Class",
    ),
    (
        lambda: names.stop("halving:third=1"),
        "stop halving: found the parameter third, expected one of factor, first",
    ),
    (
        lambda: names.stop("mine.py:Small"),
        "stop mine.py:Small: found <class 'mine.Small'>, expected a class with the method bar",
    ),
]


@pytest.mark.parametrize(("ask", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_what_cannot_be_found_is_told_with_what_could(ask: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        ask()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:\n", "broken.py: found SyntaxError: invalid syntax"),
        ("import nothing_like_it\n", "broken.py: found no module nothing_like_it, expected a file.py or a module"),
        ("x = 1\ny = x / 0\n", r"broken.py: found ZeroDivisionError: division by zero \(broken.py, line 2\), expected"),
        ("raise SystemExit(3)\n", r"broken.py: found SystemExit: 3 \(broken.py, line 1\), expected a module that can"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_the_place(here: Path, text: str, message: str) -> None:
    (here / "broken.py").write_text(text)
    with pytest.raises(UserError, match=message):
        names.space("broken.py:Small")


# --- a folder of the user's ---


def checked(typed: str) -> str:
    """What `nas check` says in the current folder."""
    command = [sys.executable, "-m", "nas", "check", typed]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("typed", ["mine.py:Small", "mine:Small"])
def test_packages_of_a_users_folder_hide_none_of_the_toolkits(here: Path, typed: str) -> None:
    for folder in ("controllers", "search_spaces", "tests"):
        (here / folder).mkdir()
        (here / folder / "__init__.py").write_text("raise RuntimeError('the wrong one')\n")
    (here / "benchmarks.py").write_text("raise RuntimeError('the wrong one')\n")
    assert "is sound: 2 networks" in checked(typed)


def test_a_users_file_may_have_a_name_of_the_toolkits(here: Path) -> None:
    (here / "mine.py").rename(here / "benchmarks.py")
    assert "is sound: 2 networks" in checked("benchmarks.py:Small")
