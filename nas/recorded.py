"""From what a ledger's header has to the thing: the space, the limits, the reward and the rule of a search.

A header may say anything, and nothing that it names is imported or run. What is no built-in is not found: a space of
one's own is given anew, and held against what the search did.
"""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import names
from nas.errors import UserError
from nas.network import Images
from nas.reward import PRICES, REWARDS, UNBOUND, Bounds, Reward
from nas.space import Limit, Space
from nas.stop import RULES, Rule

if TYPE_CHECKING:
    from nas.ledger import Trial

TRIED = 20  # trials that a space must build as recorded, to be taken for the search's

Header = Mapping[str, Any]


def space(header: Header, trials: Sequence[Trial]) -> Space | None:
    """The built-in space of a search, on its data.

    None if it is no built-in, if its data are gone, or if it builds other networks than these trials, its own.
    """
    name, given = called(header["space"])
    typed = next((typed for typed, kind in names.spaces().items() if kind.__name__ == name), None)
    if typed is None:
        return None
    from nas.data import native

    try:
        found = names.space(f"{typed}:{given.replace(', ', ',')}")
        found = as_searched(found, native(header["data"]), header)
        return found if _is_of(found, header, trials) else None
    except (UserError, OSError, TypeError, ValueError, AttributeError):  # a header may say anything
        return None


def held(own: Space, header: Header, trials: Sequence[Trial], folder: Path) -> Space:
    """A space of one's own, on a search's images, as it was searched; raises UserError if the search had another."""
    found = as_searched(own, own.images, header)
    try:
        same = repr(found) == header["space"] and _is_of(found, header, trials)
    except UserError:
        same = False
    if same:
        return found
    raise UserError(
        f"{folder}: found a search of {header['space']}, expected one of {own!r} as in this command, with the networks "
        f"that it builds now; give --space {shlex.quote(as_typed(header))} as the search had it"
    )


def as_searched(found: Space, images: Images, header: Header) -> Space:
    """The space on these images, under the search's limits, its networks within the search's bounds."""
    return found.on(images, limits(header), bounds(header))


def unknown(header: Header, folder: Path) -> UserError:
    """That `space` has found none, and why."""
    if is_built_in(header):
        return UserError(
            f"{folder}: found a search of {header['space']} on {header['data']}, expected that space as it was, "
            "and images that are there; put the images back, or take the toolkit's version of then"
        )
    return UserError(
        f"{folder}: found a search of {header['space']}, expected a built-in space, or to be told where your own is; "
        f"give --space {shlex.quote(as_typed(header))}, with its folder"
    )


def called(written: str) -> tuple[str, str]:
    """What a header has as "Halving(factor=3, first=2)" in two: the name, and what is given in brackets."""
    name, _, given = written.removesuffix(")").partition("(")
    return name, given


def is_built_in(header: Header) -> bool:
    """Whether the search's space has the name of a built-in one."""
    return called(header["space"])[0] in {kind.__name__ for kind in names.spaces().values()}


def as_typed(header: Header) -> str:
    """ "mine.py:Small:depth=2" of a space of one's own, as far as a header tells."""
    name, given = called(header["space"])
    of = next((part for part in header.get("sources") or {} if f".{name}." in f"{part}."), "")
    module = f"{of}.".partition(f".{name}.")[0] if of else "FILE"
    place = module if "." in module else f"{module}.py"
    parameters = given.replace(", ", ",").replace("'", "")
    return ":".join(part for part in (place, name, parameters) if part)


def limits(header: Header) -> dict[str, Limit]:
    """The limits of a search, by the name of their choice."""
    return {choice: Limit(*limit) for choice, limit in (header.get("limits") or {}).items()}


def bounds(header: Header) -> Bounds:
    """The bounds on what networks of a search may cost."""
    return Bounds(**{name: header[name] for name in UNBOUND.every if header.get(name) is not None})


def reward(header: Header) -> Reward | None:
    """The built-in reward of a search; None for one's own."""
    written = header["reward"]
    plain = next((reward for reward in REWARDS.values() if getattr(reward, "__name__", "") == written), None)
    return plain or _made(written, PRICES.values())


def stop(header: Header) -> Rule | None:
    """The built-in rule by which a search's children stop; None where there is none, and for one's own."""
    found: Rule | None = _made(str(header.get("stop")), RULES.values())
    return found


def own_code(header: Header) -> str:
    """The reward or the rule of one's own that a search has, whose code its ledger lacks, in words; empty for none."""
    if reward(header) is None:
        return f"the reward {header['reward']}"
    written = header.get("stop")
    return f"the rule {written}" if written and stop(header) is None else ""


def _is_of(found: Space, header: Header, trials: Sequence[Trial]) -> bool:
    """Whether a space has the search's choices, and builds the networks of its first trials."""
    choices = {name: choice.written for name, choice in found.choices.items()}
    first = trials[:TRIED]
    return choices == header["choices"] and all(found.replay(one.answers, one.trial).key == one.key for one in first)


def _made(written: str, kinds: Iterable[type[Any]]) -> Any:
    """The thing that a header has as "Halving(factor=3, first=2)", of one of these classes; None if it is of another's.

    Numbers and texts stay what they are, so that a search made of them has the same header.
    """
    name, given = called(written)
    kind = next((kind for kind in kinds if kind.__name__ == name), None)
    pairs = [part.partition("=") for part in given.split(", ") if part]
    try:
        return kind(**{of: ast.literal_eval(value) for of, _, value in pairs}) if kind else None
    except (UserError, TypeError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
