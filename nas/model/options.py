"""How a search is finished: as it is typed, else as its finish was begun, else as suits the search."""

from __future__ import annotations

from typing import Any

from nas import compare
from nas.errors import UserError
from nas.model.lines import Lines
from nas.model.searched import Search
from nas.model.training import EPOCHS, TIMES, mirrors
from nas.summary import best

TOP, SEEDS = 5, 3


def settled(search: Search, lines: Lines, **typed: Any) -> dict[str, Any]:
    """Every option of `nas.model.finish.finish` by its name, as JSON has it; those typed as None, or not, are settled.

    Raises UserError for one that is not as the finish was begun.
    """
    begun = (lines.header or {}).get("options") or {}  # older ones do not say
    usual = {
        "top": TOP,
        "seeds": SEEDS,
        "epochs": max(EPOCHS, TIMES * search.header["recipe"]["epochs"]),
        "flip": mirrors(search.data),
        "baseline": None,
        "random": True,
    }
    found = usual | begun | {name: value for name, value in typed.items() if value is not None}
    found["top"] = len(best(search.trials, found["top"]))
    found["random"] = found["random"] and search.header["controller"] != compare.RANDOM
    if typed.get("random") is False and typed.get("baseline"):
        raise UserError("--baseline: found it with --no-random, expected one of them; leave one out")
    for name, there in begun.items():
        if found[name] != there:
            raise UserError(
                f"{lines.path.parent}: found a finish begun with {_typed(name, there)}, expected the same in this "
                f"command, which has {_typed(name, found[name])}; leave --{name} out to go on with it, or remove "
                f"{lines.path} to begin anew"
            )
    return found


def _typed(name: str, value: object) -> str:
    """An option as it is typed."""
    if value is None or isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}" if value is False else f"no --{name}"
    return f"--{name} {value}"
