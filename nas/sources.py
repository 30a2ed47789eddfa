"""The user's own code: which modules are theirs, and what of them a search runs, by checksums.

A ledger's header has these, so that code that was changed since is noticed before anything is trained, and named.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
import textwrap
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType

from nas.space import Choice

_TOOLKIT = ("nas", "search_spaces", "controllers", "benchmarks")
_STANDARD = Path(os.__file__).parent


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


def sources(things: Iterable[object]) -> dict[str, str]:
    """{"mine.Small": "5f3a09c1"}: the user's code behind these classes, functions, choices and instances, by checksum.

    With it come the functions, classes and plain constants of the user's that it names, and what these name. Comments
    and line breaks do not count. Code without a source, as of a class made by `type`, is left out.
    """
    found: dict[str, str] = {}
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, partial):
            waiting += [thing.func, *thing.args, *thing.keywords.values()]
        elif isinstance(thing, Choice):
            waiting += thing.options
        elif isinstance(thing, tuple | list | set | frozenset):
            waiting += thing
        elif isinstance(thing, dict):
            waiting += thing.values()
        elif not isinstance(thing, type | FunctionType):
            waiting.append(type(thing))
        elif _is_own(thing) and (name := f"{thing.__module__}.{thing.__qualname__}") not in found:
            found[name] = "" if name.rpartition(".")[0] in found else _written(thing)  # a class's text has its methods
            for used, value in _named(thing):
                if used and _is_plain(value):
                    found[used] = repr(value)
                else:
                    waiting.append(value)
    return {name: f"{zlib.crc32(text.encode()):08x}" for name, text in sorted(found.items()) if text}


def _is_plain(value: object) -> bool:
    """Whether it is a constant, written alike in every process."""
    parts = value if isinstance(value, tuple) else (value,)
    return all(isinstance(part, bool | int | float | str | None) for part in parts)


def _is_own(thing: type | FunctionType) -> bool:
    module = sys.modules.get(thing.__module__)
    return module is not None and is_users(module)


def _written(thing: type | FunctionType) -> str:
    """Its source, without comments; empty where there is none."""
    try:
        text = textwrap.dedent(inspect.getsource(thing))
    except (OSError, TypeError):
        return ""
    try:
        return ast.unparse(ast.parse(text))
    except SyntaxError:  # a lambda in the middle of a line
        return text


def _named(thing: type | FunctionType) -> Iterator[tuple[str, object]]:
    """All that the code of a class or function names, by its module's name and its own."""
    if isinstance(thing, FunctionType):
        code, module = thing.__code__, thing.__module__
        names = set(_names(code))
        values = {name: thing.__globals__[name] for name in names if name in thing.__globals__}
        values |= {name: cell.cell_contents for name, cell in _closure(thing)}
        defaults = [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values(), inspect.unwrap(thing)]
        yield from (("", value) for value in defaults)
        for name, value in values.items():
            if isinstance(value, ModuleType) and is_users(value):
                yield from ((f"{value.__name__}.{n}", getattr(value, n)) for n in names if hasattr(value, n))
            elif not isinstance(value, ModuleType):
                yield f"{module}.{name}", value
    else:
        yield from (("", base) for base in thing.__bases__)
        for value in vars(thing).values():
            inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if isinstance(inner, FunctionType | Choice | type):
                yield "", inner


def _names(code: CodeType) -> Iterator[str]:
    """Of globals and attributes, in nested functions too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _closure(function: FunctionType) -> Iterator[tuple[str, CellType]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a name that nothing was bound to yet
            cell.cell_contents  # noqa: B018
            yield name, cell
