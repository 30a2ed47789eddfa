"""Spaces of a user's own that are none: to add one, add the body of its class, or a file, and what is said of it."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from nas import check

PRELUDE = """
import random
import time

from nas import Block, Choice, Network, Pick, Space
from nas.layers import Conv, Linear, Norm, Pool, Relu

CONV = Block("conv", 4)


def one(block):
    return Network(8, (block,))


"""

# The body of `class Bad(Space)`, and a piece of what is said of it.
BODIES = {
    "no build": (
        "width = Choice(2, 4)",
        "Bad.build: found NotImplementedError:  (space.py, line …), expected a network",
    ),
    "nothing": ("def build(self, pick): pass", "Bad.build: found None, expected a Network, or something with key, …"),
    "a text": ("def build(self, pick): return 'conv'", "Bad.build: found 'conv', expected a Network, or something …"),
    "a class": ("def build(self, pick): return Network", "Bad.build: found …, expected a Network, or something with …"),
    "a generator": ("def build(self, pick): yield CONV", "Bad.build: found <generator object …, expected a Network, …"),
    "a coroutine": (
        "async def build(self, pick): return one(CONV)",
        "Bad.build: found …, expected …",
    ),
    "no pick": ("def build(self): return one(CONV)", "Bad.build: found TypeError: Bad.build() takes 1 positional …"),
    "one more": (
        "def build(self, pick, deep): return one(CONV)",
        "Bad.build: found TypeError: Bad.build() missing 1 …",
    ),
    "build is no method": (
        "build = 5",
        "Bad.build: found TypeError: 'int' object is not callable …, expected a network",
    ),
    # what never ends, and what is huge
    "asks forever": (
        "width = Choice(2, 4)\ndef build(self, pick):\n    while True: pick(self.width, state=0)",
        "width: found more than 3000 questions in one build, expected it to end; look for a loop …",
    ),
    "options without end": (
        "width = Choice(2, 4)\ndef build(self, pick):\n    import itertools\n"
        "    return one(Block('conv', pick(self.width, among=itertools.count(2))))",
        "width: found 3 in among=, expected some of [2, 4]; filter the choice's own options, …",
    ),
    "links without end": (
        "def build(self, pick):\n    import itertools\n    pick.anchor()\n    pick.links(itertools.count())",
        "pick.links: found the anchor 1, expected one of the 1 marked before, from 0 on, …",
    ),
    "options by the hundred thousand": (
        "width = Choice(*range(100_000))\ndef build(self, pick): return one(Block('conv', pick(self.width)))",
        "found 100,000 options, expected at most 10,000; take coarser steps, or several choices",
    ),
    "another text each time": (
        "width = Choice(2, 4)\ndef __repr__(self): return f'Bad({random.random()})'\n"
        "def build(self, pick): return one(Block('conv', pick(self.width)))",
        "Bad.__repr__: found two texts, Bad(0.…) and Bad(0.…), expected one, for a search is known by it; …",
    ),
    "turns after a while": (
        "width, count = Choice(2, 4), [0]\ndef build(self, pick):\n    self.count[0] += 1\n"
        "    return one(Block('conv', pick(self.width) + (self.count[0] > 60)))",
        "Bad.build: found two networks for the answers […], expected one; let every decision be a pick(), …",
    ),
    "never ends": (
        "def build(self, pick):\n    while True: pass",
        "Bad.build: found no end after 1 s, expected one; look for a loop that never ends",
    ),
    "never ends and catches": (
        "def build(self, pick):\n    while True:\n        try: time.sleep(1)\n        except Exception: pass",
        "Bad.build: found no end after 1 s, expected one; look for a loop that never ends",
    ),
    "sleeps": (
        "def build(self, pick):\n    time.sleep(9)\n    return one(CONV)",
        "Bad.build: found no end after 1 s, expected one; look for a loop that never ends",
    ),
    "slow": (
        "def build(self, pick):\n    time.sleep(0.05)\n    return one(CONV)",
        "Bad.build: found … networks in 1 s, expected 50; a search builds many for each trial: make it faster",
    ),
    "calls itself": ("def build(self, pick): return self.build(pick)", "Bad.build: found RecursionError: maximum …"),
    "100,000 layers": (
        "def build(self, pick): return Network(8, (CONV,) * 100_000)",
        "found a network of 100,000 blocks, expected at most 3,000",
    ),
    "100,000 layers in a block": (
        "def build(self, pick): return one(Block(deep, 4))",
        "block 1 (bad.deep width=4): found 100,000 layers, expected at most 3,000",
    ),
    "a million million wide": (
        "def build(self, pick): return one(Block('conv', 10**12))",
        "found a network of … para…",
    ),
    "a dense layer of everything": (
        "def build(self, pick): return Network(4096, (Block('conv', 64), Block('dense', 4096)))",
        "found a network of … parameters and … multiply-adds, expected at most …",
    ),
    "10^18 pixels": (
        "def build(self, pick): return Network(10**9, (CONV,))",
        "input size 1000000000, expected at most …",
    ),
    "4097 pixels": (
        "def build(self, pick): return Network(4097, (CONV,))",
        "input size 4097, expected at most 4096 pixels",
    ),
    # not a function of the answers
    "random": (
        "def build(self, pick): return one(Block('conv', random.randrange(1, 10**6)))",
        "Bad.build: found two networks for the answers [], expected one; let every decision be a pick(), and no …",
    ),
    "a counter": (
        "made = 0\ndef build(self, pick):\n    self.made += 1\n    return one(Block('conv', self.made))",
        "Bad.build: found two networks for the answers [], expected one; let every decision be a pick(), and no …",
    ),
    "a clock": (
        "def build(self, pick): return one(Block('conv', time.monotonic_ns() % 10**6 + 1))",
        "Bad.build: found two networks for the answers [], expected one; let every decision be a pick(), and no …",
    ),
    "random questions": (
        "width = Choice(2, 4)\ndef build(self, pick):\n"
        "    return one(Block('conv', sum(pick(self.width) for _ in range(random.randrange(1, 9)))))",
        "Bad…found …, expected …",
    ),
    "another state each time": (
        "width = Choice(2, 4)\ndef build(self, pick): return one(Block('conv', pick(self.width, state=time.time())))",
        "Bad.build: found two networks for the answers […], expected one; let every decision be a pick(), and no …",
    ),
    # choices and picks
    "no options": ("width = Choice()", "Choice (): found no options, expected at least one, as in Choice(1, 3, 5)"),
    "one twice": ("width = Choice(2, 4, 2)", "Choice(2, 4, 2): found 2 more than once, expected each option once"),
    "one twice, as float": (
        "width = Choice(2, 2.0)",
        "Choice(2, 2.0): found 2.0 more than once, expected each option …",
    ),
    "one twice, without hash": (
        "width = Choice([2], [2])",
        "Choice([2], [2]): found [2] more than once, expected each …",
    ),
    "twice among many": ("width = Choice(*range(9_000), 7)", "found 7 more than once, expected each option once"),
    "a number as name": ("width = Choice(2, 4, name=5)", "found the name 5, expected a text"),
    "arrays as options": (
        "import numpy\nwidth = Choice(numpy.zeros(2), numpy.ones(2))",
        "bad.py: found ValueError: The truth value of an array …, expected a module that can be imported",
    ),
    "two of one name": (
        "a = Choice(2, 4, name='width')\nb = Choice(3, 5, name='width')\n"
        "def build(self, pick): return one(Block('conv', pick(self.a)))",
        "Bad: found two choices named width, Choice(2, 4) and Choice(3, 5), expected one a name; leave name= out, or …",
    ),
    "of its own": (
        "def build(self, pick): return one(Block('conv', pick(Choice(2, 4))))",
        "Bad.build: found a pick of a nameless choice Choice(2, 4), expected a choice that the space holds as an …",
    ),
    "in a dictionary": (
        "all = {'width': Choice(2, 4)}\ndef build(self, pick): return one(Block('conv', pick(self.all['width'])))",
        "Bad.build: found a pick of a nameless choice Choice(2, 4), expected a choice that the space holds as an …",
    ),
    "a pick of a name": (
        "width = Choice(2, 4)\ndef build(self, pick): return one(Block('conv', pick('width')))",
        "pick: found 'width', expected a Choice that the space holds, as in pick(self.width)",
    ),
    "a pick of options": (
        "def build(self, pick): return one(Block('conv', pick([2, 4])))",
        "pick: found [2, 4], expected a Choice that the space holds, as in pick(self.width)",
    ),
    "a pick of nothing": ("def build(self, pick): return pick()", "Bad.build: found TypeError: …, expected a network"),
    "among nothing": (
        "width = Choice(2, 4)\ndef build(self, pick): return one(Block('conv', pick(self.width, among=[])))",
        "width: found no option in among=, expected at least one of [2, 4]; ask only where something is legal, …",
    ),
    "among others": (
        "width = Choice(2, 4)\ndef build(self, pick): return one(Block('conv', pick(self.width, among=[4, 8])))",
        "width: found 8 in among=, expected some of [2, 4]; filter the choice's own options, as in …",
    ),
    "among a number": (
        "width = Choice(2, 4)\ndef build(self, pick): return one(Block('conv', pick(self.width, among=4)))",
        "Bad.build: found TypeError: 'int' object is not iterable …, expected a network; it came after no answer",
    ),
    "a state without hash": (
        "width = Choice(2, 4)\ndef build(self, pick): return one(Block('conv', pick(self.width, state=[1])))",
        "Bad.build: found the state [1] at width, expected something hashable; make it a tuple of numbers and texts, …",
    ),
    "a link to what is not there": (
        "def build(self, pick):\n    pick.anchor()\n    pick.links([3])\n    return one(CONV)",
        "pick.links: found the anchor 3, expected one of the 1 marked before, from 0 on, as anchor = pick.anchor() …",
    ),
    "a link to a text": (
        "def build(self, pick):\n    pick.anchor()\n    pick.links('ab')\n    return one(CONV)",
        "pick.links: found the anchor 'a', expected one of the 1 marked before, from 0 on, as …",
    ),
    "a name in Greek": (
        "größe = Choice(2, 4, name='größe μ')\ndef build(self, pick): return one(Block('conv', pick(self.größe) - 9))",
        "found Conv(width=-…, expected a width and stride of at least 1 and odd kernels",
    ),
    "a name with an escape": (
        "width = Choice(2, 4, name='\\x1b[2J')\ndef build(self, pick): return pick(self.width, among=[])",
        r"\x1b[2J: found no option in among=, expected at least one of [2, 4]; …",
    ),
    # networks
    "no pixels": (
        "def build(self, pick): return Network(0, (CONV,))",
        "found a network with input size 0, expected at …",
    ),
    "minus one pixel": ("def build(self, pick): return Network(-1, (CONV,))", "found a network with input size -1, …"),
    "half a pixel": ("def build(self, pick): return Network(8.5, (CONV,))", "found a network with input size 8.5, …"),
    "nan pixels": ("def build(self, pick): return Network(float('nan'), ())", "found a network with input size nan, …"),
    "pixels in letters": (
        "def build(self, pick): return Network('8', (CONV,))",
        "found a network with input size '8', …",
    ),
    "no blocks at all": (
        "def build(self, pick): return Network(8, None)",
        "found the blocks None, expected a tuple of them, …",
    ),
    "one block alone": (
        "def build(self, pick): return Network(8, CONV)",
        "found the blocks Block(…, expected a tuple of …",
    ),
    "blocks of text": ("def build(self, pick): return one('conv')", "Bad.build: found …, expected …"),
    "an unknown join": (
        "def build(self, pick): return Network(8, (CONV,), join='sum')",
        "found join='sum', expected 'concat' or 'add'",
    ),
    "an unknown head": (
        "def build(self, pick): return Network(8, (CONV,), head='max')",
        "found head='max', expected 'gap' or 'flatten'",
    ),
    "an unknown kind": (
        "def build(self, pick): return one(Block('cnov', 4))",
        "found the block type 'cnov'; did you mean conv?, expected one of conv, …, or a function",
    ),
    "a number as kind": ("def build(self, pick): return one(Block(5, 4))", "found the block type 5, expected one of …"),
    "nothing as kind": (
        "def build(self, pick): return one(Block(None, 4))",
        "found the block type None, expected one …",
    ),
    "no width": (
        "def build(self, pick): return one(Block('conv'))",
        "found Conv(width=0, …, expected a width and stride",
    ),
    "a negative width": (
        "def build(self, pick): return one(Block('conv', -4))",
        "found Conv(width=-4, …, expected a width …",
    ),
    "a broken width": (
        "def build(self, pick): return one(Block('conv', 2.5))",
        "found Conv(width=2.5, …, expected whole …",
    ),
    "a width of nan": (
        "width = Choice(float('nan'), 1e9)\ndef build(self, pick): return one(Block('conv', pick(self.width)))",
        "found …, expected …",
    ),
    "a width in letters": (
        "def build(self, pick): return one(Block('conv', '4'))",
        "found Conv(width='4', …, expected …",
    ),
    "no stride": (
        "def build(self, pick): return one(Block('conv', 4, stride=0))",
        "stride=0, …, expected a width and …",
    ),
    "an even kernel": ("def build(self, pick): return one(Block('conv', 4, kernel=2))", "kernel=2, …, expected …"),
    "no kernel": (
        "def build(self, pick): return one(Block('conv', 4, kernel=0))",
        "kernel=0, …, expected a width and …",
    ),
    "three kernels": (
        "def build(self, pick): return one(Block('conv', 4, kernel=(1, 3, 5)))",
        "kernel=(1, 3, 5), …, expected …",
    ),
    "no dilation": (
        "def build(self, pick): return one(Block('conv', 4, dilation=0))",
        "dilation=0, …, expected a dilation and groups of at least 1",
    ),
    "no expansion": (
        "def build(self, pick): return one(Block('inverted', 4, expansion=0))",
        "found Conv(width=0, …, …",
    ),
    "a gate in letters": (
        "def build(self, pick): return one(Block('conv', 4, squeeze='2'))",
        "found TypeError: unsupported operand type(s) for //: 'int' and 'str', expected layers",
    ),
    "no heads": (
        "def build(self, pick): return one(Block('attention', 4, heads=0))",
        "found 4 channels for 0 heads, …",
    ),
    "three heads": (
        "def build(self, pick): return one(Block('attention', 4, heads=3))",
        "found 4 channels for 3 heads, …",
    ),
    "too much dropout": (
        "def build(self, pick): return one(Block('dense', 4, dropout=2.0))",
        "found Dropout(share=2.0), …",
    ),
    "dropout of nan": (
        "def build(self, pick): return one(Block('dense', 4, dropout=float('nan')))",
        "found Dropout(share=nan), …",
    ),
    "an input to come": (
        "def build(self, pick): return one(Block('conv', 4, inputs=(1,)))",
        "found inputs (1,), expected …",
    ),
    "a negative input": ("def build(self, pick): return one(Block('conv', 4, inputs=(-1,)))", "found inputs (-1,), …"),
    "an input in letters": (
        "def build(self, pick): return one(Block('conv', 4, inputs=('0',)))",
        "found …, expected …",
    ),
    "inputs that are a number": (
        "def build(self, pick): return one(Block('conv', 4, inputs=3))",
        "found …, expected …",
    ),
    # blocks of one's own
    "a block that raises": (
        "def build(self, pick): return one(Block(raising, 4))",
        "found ZeroDivisionError: …",
    ),
    "a block without arguments": (
        "def build(self, pick): return one(Block(bare, 4))",
        "found TypeError: bare() takes 0 …",
    ),
    "a block of nothing": (
        "def build(self, pick): return one(Block(lambdaless, 4))",
        "found None, expected layers, as a tuple, or a torch module",
    ),
    "a block of texts": ("def build(self, pick): return one(Block(texts, 4))", "found AttributeError: 'str' object …"),
    "a block without name": (
        "def build(self, pick): return one(Block(lambda block, channels: (), 4))",
        "Bad.build: found the block function bad.Bad.build.<locals>.<lambda>, expected one with a name of its own, …",
    ),
    "a block that leaves": (
        "def build(self, pick): return one(Block(leaving, 4))",
        "found SystemExit: 3 …, expected …",
    ),
    "a block of half a width": (
        "def build(self, pick): return one(Block(half, 4))",
        "found Conv(width=0.5, …, expected …",
    ),
    "a block that never ends": (
        "def build(self, pick): return one(Block(endless, 4))",
        "Bad.build: found no end after 1 s, expected one; look for a loop that never ends",
    ),
    # what raises
    "raises": (
        "def build(self, pick): return 1 / 0",
        "Bad.build: found ZeroDivisionError: division by zero (bad.py, …",
    ),
    "raises without words": ("def build(self, pick): raise ValueError", "Bad.build: found ValueError:  (bad.py, …"),
    "raises lines": (
        "def build(self, pick): raise ValueError('a\\nb')",
        "Bad.build: found ValueError: a\nb (bad.py, …",
    ),
    "raises an escape": (
        "def build(self, pick): raise ValueError('\\x1b[2J')",
        r"found ValueError: \x1b[2J (bad.py, …",
    ),
    "leaves": (
        "def build(self, pick): raise SystemExit(0)",
        "Bad.build: found SystemExit: 0 (bad.py, line …), expected …",
    ),
    "leaves in a generator's way": ("def build(self, pick): raise GeneratorExit", "Bad.build: found GeneratorExit: …"),
    "raises in its own way": (
        "class Mine(BaseException): pass\ndef build(self, pick): raise self.Mine('no')",
        "Bad.build: found Mine: no (bad.py, line …), expected …",
    ),
    "has a name that raises": (
        "def __repr__(self): raise ValueError('no name')\ndef build(self, pick): return one(CONV)",
        "Bad.build: found ValueError: no name (bad.py, line …), expected …",
    ),
    "has a key that raises": (
        "def build(self, pick): return Own()",
        "Bad.build: found ValueError: no key …, expected …",
    ),
    "needs an argument": (
        "def __init__(self, depth): pass",
        "bad.py:Bad: found TypeError: …depth…, expected an instance",
    ),
    "raises when made": (
        "def __init__(self): raise OSError('no')",
        "bad.py:Bad: found OSError: no …, expected an instance",
    ),
    "leaves when made": ("def __init__(self): raise SystemExit(0)", "bad.py:Bad: found SystemExit: 0 …, expected an …"),
}

MORE = """

def raising(block, channels):
    return 1 // 0


def bare():
    return ()


def lambdaless(block, channels):
    return None


def texts(block, channels):
    return ("conv",)


def leaving(block, channels):
    raise SystemExit(3)


def half(block, channels):
    return (Conv(block.width / 8),)


def deep(block, channels):
    return (Conv(4),) * 100_000


def endless(block, channels):
    while True:
        pass


class Own:
    input_size = 8

    @property
    def key(self):
        raise ValueError("no key")

    def module(self, images):
        return None
"""

# A whole bad.py, of which bad.py:Bad is asked for.
FILES = {
    "empty": ("", "bad.py:Bad: found no Bad there, expected one of its names"),
    "no Bad": (
        "from nas import Space\nclass Bda(Space): pass",
        "found no Bad there; did you mean Bda?, expected one of Bda",
    ),
    "no Python": ("class Bad(Space:", "bad.py: found SyntaxError: …, expected a module that can be imported"),
    "tabs and spaces": (
        "if True:\n\tx = 1\n        y = 2",
        "bad.py: found TabError: …, expected a module that can be …",
    ),
    "a picture": ("\x89PNG\r\n\x1a\n\0\0", "bad.py: found …, expected a module that can be imported"),
    "a null byte": ("x = 1\0", "bad.py: found …null bytes…, expected a module that can be imported"),
    "raises": ("1 / 0", "bad.py: found ZeroDivisionError: division by zero (bad.py, line 1), expected a module that …"),
    "leaves": ("raise SystemExit(0)", "bad.py: found SystemExit: 0 (bad.py, line 1), expected a module that can be …"),
    "imports what is not there": ("import nowhere_at_all", "bad.py: found no module nowhere_at_all, expected a …"),
    "imports itself": (
        "from bad import Bad",
        "bad.py: found ImportError: cannot import name 'Bad' …, expected a module …",
    ),
    "never ends": (
        "while True: pass",
        "bad.py: found no end after 1 s, expected one; look for a loop that never ends",
    ),
    "nests too deep": ("x = " + "(" * 500 + ")" * 500, "bad.py: found …, expected a module that can be imported"),
    "a function": ("def Bad(): pass", "space bad.py:Bad: found <function Bad at …, expected a subclass of nas.Space"),
    "a class of no space": (
        "class Bad: pass",
        "space bad.py:Bad: found <class 'bad.Bad'>, expected a subclass of nas.Space",
    ),
    "an instance": (
        "from nas import Space\nclass Kind(Space): pass\nBad = Kind()",
        "space bad.py:Bad: found Kind(), expected a subclass of nas.Space",
    ),
    "a network instead": (
        "from nas import Network\nBad = Network(8, ())",
        "space bad.py:Bad: found Network(…, expected a subclass of nas.Space",
    ),
    "an annotation of nothing": (
        "from __future__ import annotations\nfrom nas import Space\n"
        "class Bad(Space):\n    def __init__(self, deep: Nothing = 3): pass",
        "Bad: found …, expected …",
    ),
}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of time, shorter, so that what never ends does so in a second."""
    monkeypatch.setattr(check, "LONGEST_WALK", 1.0)
    monkeypatch.setattr(check, "LONGEST", 1.0)
    monkeypatch.setattr("nas.names.LONGEST_IMPORT", 1.0)


SEARCH = "search bad.py:Bad --workers 0 --device cpu --images 100 --trials 2 --controller random"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", BODIES)
def test_a_space_that_keeps_no_rules_is_refused(refused: Callable[..., None], name: str) -> None:
    body, said = BODIES[name]
    Path("bad.py").write_text(f"{PRELUDE}class Bad(Space):\n{textwrap.indent(body, '    ')}\n{MORE}")
    refused("check bad.py:Bad", said)
    if " s, expected" not in said:  # a second once more
        refused(SEARCH, said)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", FILES)
def test_a_file_without_the_space_is_refused(refused: Callable[..., None], name: str) -> None:
    text, said = FILES[name]
    Path("bad.py").write_bytes(text.encode("latin-1" if "PNG" in text else "utf-8"))
    refused("check bad.py:Bad", said)
