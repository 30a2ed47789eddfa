"""A random search with as many networks as a search had, on the same terms: what any search must be held against.

Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from nas import compare, ledger, names, recorded
from nas.errors import UserError
from nas.ledger import Trial
from nas.model.searched import Search
from nas.pool import Pool, Training
from nas.recipe import Recipe
from nas.search import IF_ANY
from nas.search import search as begin

REPEATS = 1_000  # trials for each network wanted, at most: repeats cost nothing


def found(search: Search, folder: Path) -> list[Trial]:
    """The trials of the random search in this folder, as many networks as this search has.

    Raises UserError if it is on other terms, another's, or shorter.
    """
    wanted = len(compare.trained(search.trials))
    compare.grouped([search.folder, folder])  # raises if data, space, recipe or reward differ
    header, trials = ledger.read(folder)
    _check_terms(search, folder, header)
    trained = compare.trained(trials)
    if header["controller"] != compare.RANDOM or len(trained) < wanted:
        several = "s"[: len(trained) != 1]
        raise UserError(
            f"{folder}: found {len(trained)} network{several} trained by {header['controller']}, expected {wanted} by "
            f"{compare.RANDOM}; give a random search with --unique {wanted}, or leave out --baseline and it is made"
        )
    return trained[:wanted]


def made(
    search: Search, place: Path, *, device: str, pool: Callable[[Training], Pool]
) -> Generator[Trial, None, list[Trial]]:
    """Search at random in `place` on this search's terms, or go on with that; its value is all trials.

    It yields new ones, as many networks in all as this search has. It has its seed too: a controller that begins at
    random, as evolution, has its first networks in common with it. Raises UserError, before it begins, as `check` does.
    """
    check(search.folder, search.header)
    return _made(search, place, device, pool)


def check(folder: Path, header: Mapping[str, Any]) -> None:
    """Raise UserError for a search with a reward or a rule of one's own, whose code a ledger does not have."""
    own = recorded.own_code(header)
    if own:
        raise UserError(
            f"{folder}: found a search with {own}, which is code of your own that its ledger lacks, expected a "
            "built-in one, which a random search can be made with; give --no-random, or make it with `nas search "
            "--controller random` and give its folder as --baseline"
        )


def seconds(place: Path) -> float:
    """What the random search that was made in `place` took: seconds of training, summed over workers."""
    return sum(trial.result.seconds for trial in ledger.begun(place)[1] if trial.result)


def _check_terms(search: Search, baseline: Path, header: Mapping[str, Any]) -> None:
    """Raise UserError for a random search with other limits, another rule to stop by, or other measurements."""
    for name in ("limits", "stop", "latency"):
        here, there = (of.get(name) or None for of in (search.header, header))
        if here != there:
            raise UserError(
                f"{baseline}: found a search with {name} {there or 'none'}, expected {here or 'none'} as in "
                f"{search.folder}; give a random search on the same terms, or leave out --baseline and it is made"
            )


def _made(
    search: Search, place: Path, device: str, pool: Callable[[Training], Pool]
) -> Generator[Trial, None, list[Trial]]:
    header, wanted, reward = search.header, len(compare.trained(search.trials)), search.reward
    assert reward is not None  # by `check`
    if len(compare.trained(ledger.begun(place)[1])) < wanted:
        kind, _ = names.controller("random")
        yield from begin(
            search.space, kind, search.data, place,
            trials=REPEATS * wanted, unique=wanted, recipe=Recipe(**header["recipe"]), reward=reward,
            seed=header["seed"], window=header["window"], limits=search.space.limits,
            child_timeout=header["child_timeout"], stop=recorded.stop(header), device=device, pool=pool,
            **{name: header[name] for name in IF_ANY if name in header},
        )  # fmt: skip
    return compare.trained(ledger.read(place)[1])[:wanted]
