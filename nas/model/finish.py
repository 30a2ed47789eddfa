"""From a search to a trained, tested network: rank its best, train the first in full, hold it against others.

The search's best networks are trained again, each with several seeds, and ranked by the search's reward of
that, the mean over seeds; so are those of a random search with an equal budget. The first of each, and well-known
networks (`nas/model/peers.py`), are then trained on training and validation images, all by one recipe
(`nas/model/training.py`).
When nothing is left to train, the test images are touched, once: what they say is the ledger's last line.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas import machine, recorded
from nas.errors import UserError
from nas.ledger import Trial
from nas.model import rival
from nas.model.contest import Contest, contest, peers_of, ranked_by
from nas.model.judge import OURS, Figures, verdict
from nas.model.lines import FILE, FOLDER, RANDOM, Lines
from nas.model.options import settled
from nas.model.outcome import Final, chosen, cost, keep
from nas.model.searched import Search
from nas.model.training import AVERAGED, Finishing, strong
from nas.model.trainings import Step, Trainings
from nas.pool import Pool, RayPool, Training
from nas.recipe import Recipe
from nas.reward import COSTS, Priced, Result, bounded
from nas.search import THREADS
from nas.summary import best


def finish(
    search: Search,
    *,
    top: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    flip: bool | None = None,
    baseline: Path | str | None = None,
    random: bool | None = None,
    device: str = "auto",
    pool: Callable[[Training], Pool] = RayPool,
) -> Generator[Trial | Step, None, Figures]:
    """Finish a search, or go on with that: yields each new training once it is on the disk; its value is the figures.

    search: as `nas.model.searched.searched` finds it.  top: how many of its networks are ranked, 5 unless given.
    seeds: trainings of each network, 3 unless given.  epochs: of each training; at least EPOCHS and TIMES the search's
    unless given.  flip: whether images are mirrored in training; what suits the data unless given.
    baseline: the folder of a random search to be held against; without one it is made, and its trials are yielded too.
    random: False for none at all; nor is there one beside a random search.  device, pool: as for `nas.search.search`.
    What is not given is as it was when the finish was begun. It leaves the model as model/ in the search's folder, anew
    where it is damaged or gone. Raises UserError for whatever a user can mend.
    """
    with Lines(search.folder / FOLDER / FILE) as lines:
        given = settled(search, lines, top=top, seeds=seeds, epochs=epochs, flip=flip, random=random,
                        baseline=str(Path(baseline).resolve()) if baseline else None)  # fmt: skip
        recipe = strong(search.data, given["epochs"], given["flip"])
        header = _header(search, recipe, given)
        lines.check(header)
        found = _found(lines)
        if found is None:
            rivals = yield from _rivals(search, lines, header, given, device, pool)
            of = contest(search, best(search.trials, given["top"]), best(rivals, given["top"]), given["seeds"])
            with _trainings(lines, search, of, recipe, device, pool) as trainings:
                finalists = yield from _all(search, of, trainings)
            found = _outcome(Final(search, of, trainings, finalists), recipe, given, device)
            lines.append({"outcome": found})
        keep(search, lines.path.parent, found)
    return found


def _found(lines: Lines) -> Figures | None:
    """The outcome that the ledger has; raises UserError for one that no finish writes, for it names files."""
    found: Figures | None = next((record["outcome"] for record in lines.records if "outcome" in record), None)
    if found is None:
        return None
    try:
        of = found["model"]
        kinds = [type(of[name]) for name in ("trial", "key", "seed", "weights")]
        rows = [type(row["name"]) for row in found["rows"]]
        sound = kinds == [int, str, int, str] and of["seed"] >= 0 and set(rows) == {str}
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise UserError(
            f"{lines.path}: found an outcome that no `nas finish` writes, expected figures and a model; remove it to "
            "begin anew"
        )
    return found


def _rivals(
    search: Search,
    lines: Lines,
    header: Mapping[str, Any],
    given: Mapping[str, Any],
    device: str,
    pool: Callable[[Training], Pool],
) -> Generator[Trial, None, list[Trial]]:
    """A random search's trials; the finish is begun once nothing is left to be refused."""
    if given["random"] and not given["baseline"]:
        coming = rival.made(search, search.folder / FOLDER / RANDOM, device=device, pool=pool)
        _begin(lines, header, given)
        return (yield from coming)
    found = rival.found(search, Path(given["baseline"])) if given["random"] else []
    _begin(lines, header, given)
    return found


def _header(search: Search, recipe: Recipe, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a finish is a function of."""
    return {
        "search": search.header["seed"], "space": search.header["space"], "fingerprint": search.data.fingerprint,
        "best trials": [trial.trial for trial in best(search.trials, given["top"])], "seeds": given["seeds"],
        "recipe": asdict(recipe), "averaged": AVERAGED, "threads": THREADS,
        "random": given["random"] and (given["baseline"] or True),
        "peers": {name: network.key for name, network in peers_of(search).items()},
    }  # fmt: skip


def _begin(lines: Lines, header: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    if lines.header is None:
        here = {"versions": machine.versions(), "code": machine.code(), "cpu": machine.cpu()}
        lines.begin({**header, "options": dict(given), **here})


def _trainings(
    lines: Lines, search: Search, of: Contest, recipe: Recipe, device: str, pool: Callable[[Training], Pool]
) -> Trainings:
    every = [*of.rank_tasks(), *of.full_tasks(of.networks)]
    training = Finishing(
        search.space, search.data, recipe, device, THREADS, None, networks=of.networks, tasks=tuple(every)
    )
    images = search.data.images
    return Trainings(lines, training, pool, of.names, of.work(images), of.total(images), of.rewarded)


def _all(search: Search, of: Contest, trainings: Trainings) -> Generator[Step, None, dict[str, str]]:
    """Rank, then train in full; its value is who was trained in full, name -> key."""
    yield from trainings.run(of.rank_tasks())
    finalists = of.finalists(trainings.done, len(search.data.valid))
    trainings.total = of.total(search.data.images, finalists)
    yield from trainings.run(of.full_tasks(finalists.values()))
    return finalists


def _outcome(final: Final, recipe: Recipe, given: Mapping[str, Any], device: str) -> Figures:
    """All figures of a finish, fit for JSON; seconds are of training, those of a random search that it made apart."""
    search, of, done = final.search, final.contest, final.trainings.done
    made = given["random"] and not given["baseline"]
    rows, validated = final.rows(device), len(search.data.valid)
    return {
        "format": 1,
        "model": chosen(final, rows),
        "rows": rows,
        "verdict": verdict(rows) + _of_rates(recipe, rows) + _of_price(search, of, rows) + _of_bounds(search, of, rows),
        "ranked": ranked_by(search),
        "ranking": [one._asdict() for one in of.ranking(done, of.ours, validated)],
        "random": [one._asdict() for one in of.ranking(done, of.rivals, validated)],
        "data": {"spec": search.data.name, **search.images},
        "trained_on": ["train", "valid"],
        "images": {"train": len(search.data.train), "valid": validated, "test": rows[0]["images"]},
        "recipe": asdict(recipe) | {"averaged": AVERAGED},
        "seeds": of.seeds,
        "search": cost(search),
        "seconds": round(sum(one.seconds for one in done.values()), 1),
        "random_seconds": round(rival.seconds(search.folder / FOLDER / RANDOM), 1) if made else None,
    }


def _of_rates(recipe: Recipe, rows: Sequence[Figures]) -> list[str]:
    """Whose networks were trained at other rates than the recipe's."""
    lower = {row["name"]: sorted({rate for rate in row.get("rates", ()) if rate < recipe.rate}) for row in rows}
    said = [f"{name} ({', '.join(f'{rate:.2g}' for rate in rates)})" for name, rates in lower.items() if rates]
    why = f"Trained at a lower rate than {recipe.rate:g}, for want of norms or because nothing was learnt at it"
    return [f"{why}: {', '.join(said)}."] * bool(said)


def _of_price(search: Search, of: Contest, rows: Sequence[Figures]) -> list[str]:
    """What to remember of a search that was not for accuracy alone, and who is ahead by its reward."""
    if not isinstance(search.reward, Priced):
        return []
    said = [f"The search was for accuracy at a price, {search.reward!r}: its network need not be the most accurate."]
    rewards = {row["name"]: of.priced(row, search.reward) for row in rows if "accuracy" in row}
    known = sorted(((value, name) for name, value in rewards.items() if value is not None), reverse=True)
    listed = ", ".join(f"{name} {value:.4f}" for value, name in known)
    return [*said, *[f"By that reward, of the accuracy on test images: {listed}."] * bool(known)]


def _of_bounds(search: Search, of: Contest, rows: Sequence[Figures]) -> list[str]:
    """What to remember of a search whose networks were not to cost more than so much, and who does."""
    bounds = recorded.bounds(search.header)
    if not bounds.given:
        return []
    found = {row["name"]: of.costs(row) for row in rows if "accuracy" in row and row["name"] != OURS}
    above = {name: bounds.above(result) for name, result in found.items()}
    said = [f"{name} ({_amounts(costs)})" for name, costs in above.items() if costs]
    unknown = [name for name, result in found.items() if not above[name] and _unknown(bounds.given, result)]
    return [
        f"The search was for networks within {bounds}; what it is compared with may cost more.",
        f"Above these bounds: {'; '.join(said) or 'none of the others that is known to be'}.",
        *[f"Not known to be within them, for no latency was measured: {', '.join(unknown)}."] * bool(unknown),
    ]


def _amounts(costs: Mapping[str, float]) -> str:
    """What is too much, by bound, in words."""
    return ", ".join(f"{cost:,} {COSTS[bounded(name)]}" for name, cost in costs.items())


def _unknown(given: Mapping[str, float], result: Result) -> bool:
    """Whether a cost that has a bound is not known."""
    return any(result.cost(bounded(name)) is None for name in given)
