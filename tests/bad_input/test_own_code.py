"""Controllers, rewards and rules to stop by of a user's own that are none: one entry each, and what is said of it."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from nas import check

# The body of `class Bad`, a controller, after "def __init__(self, space, seed, length): self.space = space".
CONTROLLERS = {
    "no ask": (
        "def tell(self, *_): pass",
        "controller bad.py:Bad: found <class 'bad.Bad'>, expected a class with ask …",
    ),
    "no tell": (
        "def ask(self, *_): pass",
        "controller bad.py:Bad: found <class 'bad.Bad'>, expected a class with ask …",
    ),
    "answers nothing": ("def ask(self, trial, pending): pass", "Bad.ask: found None, expected a candidate, as …"),
    "answers a number": ("def ask(self, trial, pending): return 5", "Bad.ask: found 5, expected a candidate, as …"),
    "answers answers": (
        "def ask(self, trial, pending): return (0, 1)",
        "Bad.ask: found (0, 1), expected a candidate, …",
    ),
    "answers a network": (
        "def ask(self, trial, pending): return self.space.walk(lambda q: q.legal[0]).network",
        "Bad.ask: found Network(…, expected a candidate, as space.walk(answer, trial) gives",
    ),
    "answers what is not legal": (
        "def ask(self, trial, pending): return self.space.walk(lambda q: 99, trial)",
        "found answer 99, expected one of 0 (2), 1 (4)",
    ),
    "answers in letters": (
        "def ask(self, trial, pending): return self.space.walk(lambda q: '0', trial)",
        "found answer '0', expected one of 0 (2), 1 (4)",
    ),
    "answers nan": (
        "def ask(self, trial, pending): return self.space.walk(lambda q: float('nan'), trial)",
        "found answer nan, expected one of 0 (2), 1 (4)",
    ),
    "answers with other answers": (
        "def ask(self, trial, pending):\n    c = self.space.walk(lambda q: q.legal[0], trial)\n"
        "    return c._replace(answers=self.space.walk(lambda q: q.legal[-1], trial).answers)",
        "Bad.ask: found a network that its answers […] do not lead to, expected a candidate as …",
    ),
    "answers with none": (
        "def ask(self, trial, pending): return self.space.walk(lambda q: q.legal[0], trial)._replace(answers=())",
        "Small: found question 1, expected the 0 questions whose answers were recorded, …",
    ),
    "asks with one argument": ("def ask(self, trial): pass", "Bad: found TypeError: Bad.ask() takes 2 positional …"),
    "raises when asked": ("def ask(self, trial, pending): return {}[trial]", "Bad: found KeyError: 0 (bad.py, line …"),
    "leaves when asked": ("def ask(self, trial, pending): raise SystemExit(0)", "Bad: found SystemExit: 0 (bad.py, …"),
    "never answers": (
        "def ask(self, trial, pending):\n    while True: pass",
        "Bad: found no end after 4 s, expected one; look for a loop that never ends",
    ),
    "answers with what raises": (
        "def ask(self, trial, pending): return self.space.walk(lambda q: 1 // 0, trial)",
        "Bad: found ZeroDivisionError: …, expected a class made as Mine(space, seed, length, ...), with ask and tell",
    ),
    "raises when told": ("def tell(self, trial, candidate, reward): raise OSError('no')", "Bad: found OSError: no …"),
    "raises when told of a failure": (
        "def tell(self, trial, candidate, reward): self.best = max(0.0, reward)",
        "Bad: found TypeError: '>' not supported between …, expected a class made as Mine(space, seed, length, ...), …",
    ),
    "told with one argument": ("def tell(self, trial): pass", "Bad: found TypeError: Bad.tell() takes 2 positional …"),
    "made of nothing": ("def __init__(self): pass", "Bad: found TypeError: …, expected a class made as Mine(space, …"),
    "made of more": (
        "def __init__(self, space, seed, length, more): pass",
        "Bad: found TypeError: …missing 1 required positional argument: 'more'…, expected a class made as Mine(…",
    ),
    "raises when made": (
        "def __init__(self, space, seed, length): 1 / 0",
        "Bad: found ZeroDivisionError: division by …",
    ),
    "figures of text": (
        "def figures(self, trial): return 'high'",
        "Bad.figures: found 'high', expected up to 20 names of up to 20 letters with finite numbers, as in {'…",
    ),
    "figures of nan": (
        "def figures(self, trial): return {'entropy': float('nan')}",
        "Bad.figures: found {'entropy': nan}, expected up to 20 names of up to 20 letters with finite …",
    ),
    "figures with an escape": (
        "def figures(self, trial): return {'\\x1b[2J': 1}",
        r"Bad.figures: found {'\x1b[2J': 1}, expected up to 20 names of up to 20 letters with finite …",
    ),
    "figures without end": (
        "def figures(self, trial):\n    while True: pass",
        "Bad.figures: found no end after 4 s, expected one; look for a loop that never ends",
    ),
    "figures by the hundred": (
        "def figures(self, trial): return {str(n): n for n in range(100)}",
        "Bad.figures: found {…}, expected up to 20 names of up to 20 letters with finite numbers, …",
    ),
    "figures that leave": (
        "def figures(self, trial): raise SystemExit(0)",
        "Bad.figures: found SystemExit: 0 (bad.py, line …), expected up to 20 names of …",
    ),
    "a parameter with an address": (
        "def __init__(self, space, seed, length, x=object()): self.space = space",
        "x: found <object object at 0x…>, expected something that is written alike in every process, …",
    ),
    "answers with truths": (
        "def ask(self, trial, pending):\n    c = self.space.walk(lambda q: q.legal[0], trial)\n"
        "    return c._replace(answers=(False,))",
        "Bad.ask: found Candidate(…, expected a candidate, as space.walk(answer, trial) gives",
    ),
    "figures that raise": (
        "def figures(self, trial): 1 / 0",
        "Bad.figures: found ZeroDivisionError: division by zero …",
    ),
}

# The body of `def bad(result)`, a reward.
REWARDS = {
    "nothing": ("pass", "reward bad: found TypeError: …, expected a number for every result; mend it, …"),
    "a text": ("return 'high'", "reward bad: found ValueError: could not convert string to float: 'high' …"),
    "a tuple": ("return result.accuracy", "reward bad: found TypeError: …, expected a number for every result; mend …"),
    "a complex number": ("return 1j", "reward bad: found TypeError: …, expected a number for every result; mend it, …"),
    "raises": ("return result.colour", "reward bad: found AttributeError: 'Result' object has no attribute 'colour' …"),
    "leaves": (
        "raise SystemExit(0)",
        "reward bad: found SystemExit: 0 (bad.py, line …), expected a number for every …",
    ),
    "an epoch too many": ("return result.accuracy[1]", "reward bad: found IndexError: tuple index out of range …"),
    "no number at all": (
        "return result",
        "reward bad: found TypeError: float() argument must be …, expected a number …",
    ),
    "changes the result": ("result.seconds = 0", "reward bad: found FrozenInstanceError: cannot assign to field …"),
    "never ends": (
        "while True: pass",
        "reward: found no end after 4 s, expected one; look for a loop that never ends",
    ),
    "a generator": ("yield 1.0", "reward bad: found TypeError: float() argument must be …, expected a number …"),
    "no exception": (
        "raise GeneratorExit",
        "bad.py, line 2: found GeneratorExit: , expected code that runs; mend it …",
    ),
    "raises what cannot be said": (
        "class E(Exception):\n        def __str__(self): raise KeyError('no')\n    raise E",
        "bad.py, line 3: found KeyError: 'no', expected code that runs; mend it there",
    ),
    "too large": ("return 10**400", "reward bad: found OverflowError: int too large to convert to float …"),
}

# The body of `class Bad`, a rule to stop by.
RULES = {
    "no bar": ("pass", "stop bad.py:Bad: found <class 'bad.Bad'>, expected a class with the method bar"),
    "nothing": (
        "def bar(self, told): pass",
        "Bad.bar: found TypeError: …, expected by epoch the least likelihood with …",
    ),
    "a number": ("def bar(self, told): return 0.5", "Bad.bar: found TypeError: 'float' object is not iterable …"),
    "texts": (
        "def bar(self, told): return 'ab'",
        "Bad.bar: found ValueError: could not convert string to float: 'a' …",
    ),
    "nan": (
        "def bar(self, told): return (float('nan'),)",
        "Bad.bar: found (nan,), expected by epoch the least likelihood …",
    ),
    "inf": (
        "def bar(self, told): return (float('inf'),)",
        "Bad.bar: found (inf,), expected by epoch the least likelihood …",
    ),
    "more than all": ("def bar(self, told): return (2.0,)", "Bad.bar: found (2.0,), expected by epoch the least …"),
    "without a text of its own": (
        "def bar(self, told): return ()",
        "Bad: found <bad.Bad object at 0x…>, expected something that is written alike in every process, …",
    ),
    "no argument": (
        "def bar(self): return ()",
        "Bad.bar: found TypeError: Bad.bar() takes 1 positional argument but …",
    ),
    "raises": ("def bar(self, told): return told[0].best", "Bad.bar: found AttributeError: 'Result' object has no …"),
    "leaves": (
        "def bar(self, told): raise SystemExit(0)",
        "Bad.bar: found SystemExit: 0 (bad.py, line …), expected by …",
    ),
    "never ends": (
        "def bar(self, told):\n    while True: pass",
        "Bad.bar: found no end after 4 s, expected one; look …",
    ),
    "needs an argument": ("def __init__(self, sure): pass\ndef bar(self, told): return ()", "Bad: found TypeError: …"),
    "raises when made": (
        "def __init__(self): 1 / 0\ndef bar(self, told): return ()",
        "Bad: found ZeroDivisionError: …",
    ),
}

SEARCH = "search small.py:Small --workers 0 --device cpu --images 100 --trials 2 "


SMALL = """
from nas import Block, Choice, Network, Space

class Small(Space):
    width = Choice(2, 4)

    def build(self, pick):
        return Network(8, (Block("conv", pick(self.width)),))
"""


@pytest.fixture(autouse=True)
def _small(refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound space, and a shorter limit of time, so that what never ends does so in some seconds."""
    Path("small.py").write_text(SMALL)
    monkeypatch.setattr(check, "LONGEST", 4.0)


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_that_keeps_no_rules_is_refused_before_anything_is_written(
    refused: Callable[..., None], name: str
) -> None:
    body, said = CONTROLLERS[name]
    sound = {
        "__init__": "def __init__(self, space, seed, length): self.space = space",
        "ask": "def ask(self, trial, pending): return self.space.walk(lambda q: q.legal[0], trial)",
        "tell": "def tell(self, trial, candidate, reward): pass",
    }
    if name in ("no ask", "no tell"):
        sound = {}
    methods = [text for method, text in sound.items() if f"def {method}(" not in body]
    Path("bad.py").write_text(f"class Bad:\n{textwrap.indent(chr(10).join([*methods, body]), '    ')}\n")
    refused(f"{SEARCH} --controller bad.py:Bad", said)


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_that_is_none_is_refused_before_anything_is_written(refused: Callable[..., None], name: str) -> None:
    body, said = REWARDS[name]
    Path("bad.py").write_text(f"def bad(result):\n    {body}\n")
    refused(f"{SEARCH} --controller random --reward bad.py:bad", said)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_is_none_is_refused_before_anything_is_written(refused: Callable[..., None], name: str) -> None:
    body, said = RULES[name]
    Path("bad.py").write_text(f"class Bad:\n{textwrap.indent(body, '    ')}\n")
    refused(f"{SEARCH} --controller random --epochs 3 --stop bad.py:Bad", said)
