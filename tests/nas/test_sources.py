"""Which of the user's code a search runs, told by checksums."""

from __future__ import annotations

import importlib.util
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
SEEN = []

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
        SEEN.append(1)
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
        "helping.inner", "helping.layers", "owned.Base", "owned.KERNEL", "owned.PLACES", "owned.Small", "owned.other",
        "owned.reward", "owned.scaled", "owned.stem",
    ]  # fmt: skip
    assert sources([RandomSearch, accuracy, None, "text", 3]) == {}


@pytest.mark.parametrize(
    ("then", "now", "changed"),
    [
        ("KERNEL = 3", "KERNEL = 5", ["owned.KERNEL"]),
        ("PLACES = (1, 2)", "PLACES = (1, 3)", ["owned.PLACES"]),
        ("pick(self.depth)", "(1 + pick(self.depth))", ["owned.Small"]),
        ("depth = Choice(1, 2)", "depth = Choice(2, 1)", ["owned.Base"]),
        ("    return ()\n", "    return (width,)\n", ["owned.other"]),
        ("result.accuracy[-1]", "result.accuracy[0]", ["owned.scaled"]),
        ("SEEN = []", "SEEN = [1]", []),
        ("class Base(Space):\n", "class Base(Space):\n    # said only\n\n", []),
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


def test_a_function_with_arguments_of_its_own_is_looked_into(write: Callable[..., ModuleType]) -> None:
    module = write()
    assert list(sources([partial(module.reward, scale=module.other)])) == [
        "owned.other",
        "owned.reward",
        "owned.scaled",
    ]


def test_code_without_a_source_is_left_out() -> None:
    assert sources([type("Made", (), {"__module__": __name__})]) == {}


def test_libraries_and_the_toolkit_are_not_the_users() -> None:
    import numpy

    import nas

    assert is_library(numpy.__file__)
    assert not is_users(numpy)
    assert not is_users(nas)
    assert is_users(sys.modules[__name__])
