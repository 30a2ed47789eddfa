"""From a search to a trained, tested network: rank its best, train the first in full, hold it against others.

The search's best networks are trained again, each with several seeds, and ranked by their mean accuracy on the
validation images; so are those of a random search with an equal budget. The first of each, and well-known networks
(`nas/model/peers.py`), are then trained on training and validation images, all by one recipe (`nas/model/training.py`).
When nothing is left to train, the test images are touched, once: what they say is the ledger's last line.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas import compare, machine
from nas.ledger import Trial
from nas.model.contest import Contest, contest, peers_of
from nas.model.judge import Figures, verdict
from nas.model.lines import Lines
from nas.model.outcome import Final, chosen, cost, keep
from nas.model.rival import rival
from nas.model.searched import Search
from nas.model.training import AVERAGED, EPOCHS, TIMES, Finishing, strong
from nas.model.trainings import Step, Trainings
from nas.pool import Pool, RayPool, Training
from nas.recipe import Recipe
from nas.search import THREADS
from nas.summary import best

FOLDER, FILE = "finish", "trainings.jsonl"


def finish(
    search: Search,
    *,
    top: int = 5,
    seeds: int = 3,
    epochs: int | None = None,
    flip: bool | None = None,
    baseline: Path | None = None,
    random: bool = True,
    device: str = "auto",
    pool: Callable[[Training], Pool] = RayPool,
) -> Generator[Trial | Step, None, Figures]:
    """Finish a search, or go on with that: yields each new training once it is on the disk; its value is the figures.

    search: as `nas.model.searched.searched` finds it.  top: how many of its networks are ranked.
    seeds: trainings of each network.  epochs: of each training; at least EPOCHS and TIMES the search's unless given.
    flip: whether images are mirrored in training; what suits the data unless given.
    baseline: the folder of a random search to be held against; without one it is made, and its trials are yielded too.
    random: False for none at all; nor is there one beside a random search.  device, pool: as for `nas.search.search`.
    It leaves the model as model/ in the search's folder. Raises UserError for whatever a user can mend.
    """
    random = random and search.header["controller"] != compare.RANDOM
    recipe = strong(search.data, epochs or max(EPOCHS, TIMES * search.header["recipe"]["epochs"]), flip)
    with Lines(search.folder / FOLDER / FILE) as lines:
        header = _header(search, recipe, top, seeds, str(baseline.resolve()) if baseline else random)
        lines.check(header)
        found = next((record["outcome"] for record in lines.records if "outcome" in record), None)
        if found is None:
            place = search.folder / FOLDER / "random"
            rivals = (yield from rival(search, place, baseline, device=device, pool=pool)) if random else []
            _begin(lines, header)
            of = contest(search, best(search.trials, top), best(rivals, top), seeds)
            with _trainings(lines, search, of, recipe, device, pool) as trainings:
                finalists = yield from _all(search, of, trainings)
            found = _outcome(Final(search, of, trainings, finalists), recipe, device)
            lines.append({"outcome": found})
        keep(search, lines.path.parent, found)
    return found


def _header(search: Search, recipe: Recipe, top: int, seeds: int, random: str | bool) -> dict[str, Any]:
    """What a finish is a function of."""
    return {
        "search": search.header["seed"], "space": search.header["space"], "fingerprint": search.data.fingerprint,
        "best trials": [trial.trial for trial in best(search.trials, top)], "seeds": seeds, "recipe": asdict(recipe),
        "averaged": AVERAGED, "threads": THREADS, "random": random,
        "peers": {name: network.key for name, network in peers_of(search).items()},
    }  # fmt: skip


def _begin(lines: Lines, header: Mapping[str, Any]) -> None:
    if lines.header is None:
        lines.begin({**header, "versions": machine.versions(), "code": machine.code(), "cpu": machine.cpu()})


def _trainings(
    lines: Lines, search: Search, of: Contest, recipe: Recipe, device: str, pool: Callable[[Training], Pool]
) -> Trainings:
    every = [*of.rank_tasks(), *of.full_tasks(of.networks)]
    training = Finishing(
        search.space, search.data, recipe, device, THREADS, None, networks=of.networks, tasks=tuple(every)
    )
    images = search.data.images
    return Trainings(lines, training, pool, of.names, of.work(images), of.total(images))


def _all(search: Search, of: Contest, trainings: Trainings) -> Generator[Step, None, dict[str, str]]:
    """Rank, then train in full; its value is who was trained in full, name -> key."""
    yield from trainings.run(of.rank_tasks())
    finalists = of.finalists(trainings.done, len(search.data.valid))
    yield from trainings.run(of.full_tasks(finalists.values()))
    return finalists


def _outcome(final: Final, recipe: Recipe, device: str) -> Figures:
    """All figures of a finish, fit for JSON."""
    search, of, done = final.search, final.contest, final.trainings.done
    rows, validated = final.rows(device), len(search.data.valid)
    return {
        "format": 1,
        "model": chosen(final, rows),
        "rows": rows,
        "verdict": verdict(rows),
        "ranking": [one._asdict() for one in of.ranking(done, of.ours, validated)],
        "random": [one._asdict() for one in of.ranking(done, of.rivals, validated)],
        "data": {"spec": search.data.name, **search.images},
        "trained_on": ["train", "valid"],
        "images": {"train": len(search.data.train), "valid": validated, "test": rows[0]["images"]},
        "recipe": asdict(recipe) | {"averaged": AVERAGED},
        "seeds": of.seeds,
        "search": cost(search),
        "seconds": round(sum(one.seconds for one in done.values()), 1),
    }
