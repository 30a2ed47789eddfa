"""The user's own code: which modules are theirs, and what of them a search runs, by checksums.

A ledger's header has these, so that code that was changed since is noticed before anything is trained, and named.
"""

from __future__ import annotations

import ast
import dis
import inspect
import os
import sys
import textwrap
import traceback
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType

from nas.space import Choice

MOST = 10_000  # things that are looked at; what leads to more is no code but data

_TOOLKIT = ("nas", "search_spaces", "controllers", "benchmarks")
_ROOT = Path(__file__).parents[1]
_STANDARD = Path(os.__file__).parent

Named = tuple[str, object]


def is_library(path: str) -> bool:
    """Whether a file or folder belongs to Python or to what is installed with it, and so lies on every machine."""
    inside = Path(path)
    archive = inside.suffix == ".zip"
    return archive or inside.is_relative_to(_STANDARD) or bool({"site-packages", "dist-packages"} & {*inside.parts})


def is_users(module: ModuleType) -> bool:
    """Whether a module is neither the toolkit's nor a library's; that of a notebook, which has no file, is."""
    if module.__name__ == "__main__":
        return True
    file = getattr(module, "__file__", None) or ""
    return Path(file).is_absolute() and module.__name__.partition(".")[0] not in _TOOLKIT and not is_library(file)


def users_place(error: BaseException) -> str:
    """The last place in a file of the user's that an error came through, as "mine.py, line 7"; empty for none."""
    for place in reversed(traceback.extract_tb(error.__traceback__)):
        ours = any(Path(place.filename).is_relative_to(_ROOT / package) for package in _TOOLKIT)
        if Path(place.filename).is_absolute() and not ours and not is_library(place.filename):
            return f"{Path(place.filename).name}, line {place.lineno}"
    return ""


def sources(things: Iterable[object]) -> dict[str, str]:
    """{"mine.Small": "5f3a09c1", "mine.WIDTHS[0]": ...}: the user's code behind these, each part with a checksum.

    things: classes, functions, choices, instances. With them come the functions, classes and constants of the user's
    that they name, and what these name. Comments, docstrings and line breaks do not count. What cannot be looked at, as
    code without a source, is left out.
    """
    found: dict[str, set[str]] = defaultdict(set)  # what has one name, as a factory's functions have, counts as one
    waiting: list[Named] = [("", thing) for thing in things]
    kept: dict[int, object] = {}  # by its id, which another could have once it is gone
    while waiting and len(kept) < MOST:
        name, thing = waiting.pop()
        if thing is None or type(thing) in (bool, int, float, str):
            found[name].add(hex(thing) if type(thing) is int else repr(thing))  # of a huge int Python says no decimals
        elif id(thing) not in kept:
            kept[id(thing)] = thing
            with suppress(Exception):  # a user's own attributes may raise
                parts = list(_parts(name, thing))
                found[_called(thing)].add(_text(thing))
                waiting += parts
    found.pop("", None)
    return {name: _checksum(texts) for name, texts in sorted(found.items())}


def _checksum(texts: Iterable[str]) -> str:
    return f"{zlib.crc32('|'.join(sorted(texts)).encode(errors='backslashreplace')):08x}"


def _called(thing: object) -> str:
    """The name of a class or function of the user's; empty for all else."""
    if not isinstance(thing, type | FunctionType):
        return ""
    module = sys.modules.get(thing.__module__)
    return f"{thing.__module__}.{thing.__qualname__}" if module is not None and is_users(module) else ""


def _text(thing: object) -> str:
    """The source of a class without its methods, or of a function; of a lambda, which shares its line, the code."""
    if isinstance(thing, FunctionType) and thing.__name__ == "<lambda>":
        return f"{thing.__code__.co_code.hex()} {thing.__code__.co_names}"
    if not isinstance(thing, type | FunctionType):
        return ""
    with suppress(OSError, TypeError, SyntaxError):
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing if isinstance(thing, type) else thing.__code__)))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                node.body = [part for part in node.body if not _is_said(part)]
        if isinstance(thing, type):
            tree.body[0].body = [p for p in tree.body[0].body if not isinstance(p, ast.FunctionDef)]  # type: ignore[attr-defined]
        return ast.unparse(tree)
    return ""


def _is_said(part: ast.stmt) -> bool:
    """Whether it is a docstring."""
    return isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)


def _parts(name: str, thing: object) -> Iterator[Named]:
    """What a thing consists of and names; name: of the constant that led to it."""
    if isinstance(thing, partial):
        yield from (("", part) for part in (thing.func, *thing.args, *thing.keywords.values()))
    elif isinstance(thing, MethodType):
        yield from (("", thing.__func__), ("", thing.__self__))
    elif isinstance(thing, Choice):
        yield from ((name, option) for option in thing.options)
    elif isinstance(thing, dict):
        yield from ((name and f"{name}[{key!r}]", value) for key, value in thing.items())
    elif isinstance(thing, tuple | list):
        yield from ((name and f"{name}[{place}]", value) for place, value in enumerate(thing))
    elif isinstance(thing, set | frozenset):
        yield from ((name, value) for value in thing)
    elif not _called(thing):
        yield "", type(thing)
        yield "", getattr(thing, "__wrapped__", None)  # of functools.cache, say
        if _called(type(thing)) and name:
            yield from ((f"{name}.{attribute}", value) for attribute, value in vars(thing).items())
    elif isinstance(thing, FunctionType):
        yield from _of_function(thing)
    elif isinstance(thing, type):
        yield from _of_class(thing)


def _of_function(function: FunctionType) -> Iterator[Named]:
    module, called = function.__module__, f"{function.__module__}.{function.__qualname__}"
    yield "", getattr(function, "__wrapped__", None)
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    yield from ((f"{called}({place})", value) for place, value in enumerate(defaults))
    for name, cell in _closure(function):
        yield f"{module}.{name}", cell.cell_contents
    globals_, attributes = _names(function.__code__)
    for name in sorted(globals_ & function.__globals__.keys()):
        value = function.__globals__[name]
        if not issubclass(type(value), ModuleType):  # whose __class__ may raise
            yield f"{module}.{name}", value
        elif is_users(value):
            there = sorted(attributes & vars(value).keys())
            yield from ((f"{value.__name__}.{attribute}", vars(value)[attribute]) for attribute in there)


def _of_class(kind: type) -> Iterator[Named]:
    yield from (("", base) for base in kind.__bases__)
    for name, value in vars(kind).items():
        if name.startswith("__") and not callable(value):
            continue
        inner = [getattr(value, part, None) for part in ("__func__", "fget", "func")]  # as a property has
        yield from (
            (f"{kind.__module__}.{kind.__qualname__}.{name}", part) for part in (value, *inner) if part is not None
        )


def _names(code: CodeType) -> tuple[set[str], set[str]]:
    """Of globals and of attributes, in nested functions too."""
    steps = list(dis.get_instructions(code))
    globals_ = {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    attributes = {step.argval for step in steps if step.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            more, others = _names(constant)
            globals_, attributes = globals_ | more, attributes | others
    return globals_, attributes


def _closure(function: FunctionType) -> Iterator[tuple[str, CellType]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a name that nothing was bound to yet
            cell.cell_contents  # noqa: B018
            yield name, cell
