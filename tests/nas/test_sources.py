"""Which of the user's code a search runs, told by checksums."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from controllers.random_search import RandomSearch
from nas.reward import accuracy
from nas.sources import is_library, is_users, sources

SPACE = '''
from nas import Block, Choice, Network, Pick, Space
import helping

KERNEL = 3
PLACES = (1, 2)
SEEN = [4]
UNUSED = 1
WEIGHTS = {"params": 0.1}

def stem(width):
    """A block's layers."""
    return helping.layers(width)

def other(width):
    return ()

class Base(Space):
    depth = Choice(1, 2)

class Small(Base):
    width = Choice(8, 16)
    kind = Choice(stem, other)

    def build(self, pick: Pick) -> Network:
        SEEN[0] = WEIGHTS["params"]
        return Network(32, (Block("conv", pick(self.width), KERNEL * len(PLACES)),) * pick(self.depth))

def reward(result):
    return (lambda r: scaled(r))(result)

def scaled(result):
    return result.accuracy[-1]
'''
HELPING = "def layers(width):\n    return inner(width)\n\ndef inner(width):\n    return ()\n"


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Callable[[str, str], ModuleType]]:
    """Import the space's file, and one that it imports, with these texts."""

    def write(space: str = SPACE, helping: str = HELPING) -> ModuleType:
        for name, text in (("helping", helping), ("owned", space)):
            (tmp_path / f"{name}.py").write_text(text)
            spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        return module

    yield write
    for name in ("helping", "owned"):
        sys.modules.pop(name, None)


def of(module: ModuleType) -> dict[str, str]:
    space = module.Small()
    return sources([space, *space.held(), module.reward])


def test_all_that_a_space_and_a_reward_name_is_found_and_nothing_of_the_toolkit(
    write: Callable[..., ModuleType],
) -> None:
    assert list(of(write())) == [
        "helping.inner", "helping.layers", "owned.Base", "owned.KERNEL", "owned.PLACES[0]", "owned.PLACES[1]",
        "owned.SEEN[0]", "owned.Small", "owned.Small.build", "owned.WEIGHTS['params']", "owned.other", "owned.reward",
        "owned.scaled", "owned.stem",
    ]  # fmt: skip
    assert sources([RandomSearch, accuracy, None, "text", 3]) == {}


@pytest.mark.parametrize(
    ("then", "now", "changed"),
    [
        ("KERNEL = 3", "KERNEL = 5", ["owned.KERNEL"]),
        ("PLACES = (1, 2)", "PLACES = (1, 3)", ["owned.PLACES[1]"]),
        ('"params": 0.1', '"params": 0.2', ["owned.WEIGHTS['params']"]),
        ("pick(self.depth)", "(1 + pick(self.depth))", ["owned.Small.build"]),
        ("depth = Choice(1, 2)", "depth = Choice(2, 1)", ["owned.Base"]),
        ("    return ()\n", "    return (width,)\n", ["owned.other"]),
        ("result.accuracy[-1]", "result.accuracy[0]", ["owned.scaled"]),
        ("class Base(Space):\n", "class Base(Space):\n    # said only\n\n", []),
        ("A block's layers.", "The layers.", []),
        ("def other(width):\n", "def other(width):\n\n", []),
        ("UNUSED = 1", "UNUSED = 2", []),
    ],
)
def test_a_change_is_told_by_the_name_of_what_changed(
    write: Callable[..., ModuleType], then: str, now: str, changed: list[str]
) -> None:
    before = of(write())
    after = of(write(SPACE.replace(then, now)))
    assert [name for name in before if before[name] != after[name]] == changed
    assert list(before) == list(after)


def test_a_change_two_modules_away_is_told(write: Callable[..., ModuleType]) -> None:
    before = of(write())
    after = of(write(helping=HELPING.replace("return ()", "return (1,)")))
    assert [name for name in before if before[name] != after[name]] == ["helping.inner"]


REWARD = """
import functools
ALPHA, FIRST = 0.5, 1

def scaled(by):
    def around(function):
        @functools.wraps(function)
        def inner(result):
            return by * function(result)
        return inner
    return around

@scaled(1.0)
def quality(result):
    return result.accuracy[-1]

@scaled(2.0)
def size(result, by=ALPHA):
    return by * result.params

@functools.cache
def kept(x):
    return x + 1

class Rewarding:
    weight = ALPHA

    @functools.cached_property
    def two(self):
        return 2

    def __call__(self, result):
        return quality(result) - size(result) + kept(self.two) + (lambda x: x + FIRST)(1)

    score = __call__

LOOP = [1]
LOOP.append(LOOP)
rewarding = Rewarding()
"""


@pytest.mark.parametrize(
    ("then", "now", "changed"),
    [
        ("scaled(1.0)", "scaled(3.0)", ["owned.by", "owned.quality"]),
        ("scaled(2.0)", "scaled(3.0)", ["owned.by", "owned.size"]),
        ("ALPHA, FIRST = 0.5", "ALPHA, FIRST = 0.6", ["owned.Rewarding.weight", "owned.size(0)"]),
        ("0.5, 1", "0.5, 2", ["owned.FIRST"]),
        ("x + 1", "x + 2", ["owned.kept"]),
        ("return 2", "return 3", ["owned.Rewarding.two"]),
        ("by * function(result)", "by + function(result)", ["owned.quality", "owned.size"]),
        ("- size", "+ size", ["owned.Rewarding.__call__"]),
    ],
)
@pytest.mark.parametrize("of", [lambda module: module.rewarding, lambda module: module.rewarding.score])
def test_decorators_caches_lambdas_and_instances_are_looked_into(
    write: Callable[..., ModuleType], of: Callable[[ModuleType], object], then: str, now: str, changed: list[str]
) -> None:
    before, after = sources([of(write(REWARD))]), sources([of(write(REWARD.replace(then, now)))])
    assert [name for name in before if before[name] != after[name]] == changed


def test_it_is_the_same_whatever_the_hash_seed(write: Callable[..., ModuleType], tmp_path: Path) -> None:
    write(REWARD)
    program = "import owned; from nas.sources import sources; print(sources([owned.rewarding]))"
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(said) == 1


def test_what_leads_to_itself_or_raises_or_is_huge_ends(write: Callable[..., ModuleType]) -> None:
    module = write(
        "LOOP = {}\nLOOP['self'] = LOOP\nBIG = 10**5000\n"
        "class Raising:\n    @property\n    def __class__(self):\n        raise ValueError\nraising = Raising()\n"
        "TREE = ()\nfor _ in range(40):\n    TREE = (TREE, TREE)\n"
        "def reward(result):\n    return (LOOP, BIG, raising, TREE)\n"
    )
    assert list(sources([module.reward])) == ["owned.BIG", "owned.reward"]


def test_a_function_with_arguments_of_its_own_is_looked_into(write: Callable[..., ModuleType]) -> None:
    module = write()
    found = sources([partial(module.reward, scale=module.other)])
    assert list(found) == ["owned.other", "owned.reward", "owned.scaled"]


def test_code_without_a_source_has_its_name_alone() -> None:
    assert list(sources([type("Made", (), {"__module__": __name__})])) == [f"{__name__}.Made"]


def test_libraries_and_the_toolkit_are_not_the_users() -> None:
    import numpy

    import nas

    assert is_library(numpy.__file__)
    assert not is_users(numpy)
    assert not is_users(nas)
    assert is_users(sys.modules[__name__])
