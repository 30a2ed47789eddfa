"""Who takes part in a finish: the search's best networks, those of a random search, and well-known ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nas.errors import UserError
from nas.ledger import Trial
from nas.model.judge import OURS
from nas.model.peers import peers
from nas.model.searched import Search
from nas.model.training import FULL, RANK, Task
from nas.network import Images, Network
from nas.search import BLOCK
from nas.space import Child
from nas.summary import interval

RANDOM = "random search"


@dataclass(frozen=True)
class Trained:
    """One finished training, as its line in the ledger has it."""

    part: str
    key: str
    seed: int
    accuracy: float | None = None  # fraction, on the validation images; None if these were trained on
    loss: float | None = None  # nats, likewise
    params: int | None = None
    madds: int | None = None
    seconds: float = 0.0
    memory: int | None = None  # bytes of the GPU's memory at most
    precision: str | None = None
    error: str | None = None
    weights: str | None = None  # CRC-32 of their file, of a training in full

    @property
    def task(self) -> Task:
        """What was to be done."""
        return Task(self.part, self.key, self.seed)


Done = Mapping[Task, Trained]


class Ranked(NamedTuple):
    """A network of a search, after its trainings."""

    key: str
    name: str
    accuracies: list[float]  # by seed, of those that did not fail
    accuracy: float  # their mean; 0 where all failed
    interval: list[float]  # 95 %, of the mean, for the luck of the validation images
    error: str | None  # of a seed that failed


@dataclass(frozen=True)
class Contest:
    """Networks by key, and who has entered them."""

    networks: Mapping[str, Child]
    ours: Mapping[str, str]  # key -> "trial 17"
    rivals: Mapping[str, str]  # key -> "trial 3 at random"
    peers: Mapping[str, str]  # name -> key
    seeds: int

    @property
    def names(self) -> dict[str, str]:
        """What each network is called, by key."""
        return {**{key: name for name, key in self.peers.items()}, **self.rivals, **self.ours}

    def rank_tasks(self) -> list[Task]:
        """The trainings by which searches' networks are ranked."""
        return [Task(RANK, key, seed) for key in {**self.ours, **self.rivals} for seed in range(self.seeds)]

    def full_tasks(self, keys: Iterable[str]) -> list[Task]:
        """The trainings in full of these networks."""
        return [Task(FULL, key, seed) for key in dict.fromkeys(keys) for seed in range(self.seeds)]

    def work(self, images: Images) -> dict[str, float]:
        """By key, what an image costs, predicted in multiply-adds; the mean of the others where nothing is known."""
        known = {key: _work(network, images) for key, network in self.networks.items()}
        mean = float(np.mean([value for value in known.values() if value] or [1.0]))
        return {key: value or mean for key, value in known.items()}

    def total(self, images: Images) -> tuple[int, float]:
        """How many trainings there will be, and their work; of finalists that are not known yet, the mean one's."""
        work = self.work(images)
        searched = {**self.ours, **self.rivals}
        unknown = 1 + bool(self.rivals)
        mean = float(np.mean([work[key] for key in searched]))
        of_seed = sum(work[key] for key in [*searched, *self.peers.values()]) + unknown * mean
        return self.seeds * (len(searched) + len(self.peers) + unknown), self.seeds * of_seed

    def ranking(self, done: Done, keys: Mapping[str, str], images: int) -> list[Ranked]:
        """These networks, the best first, those of which a seed failed last. images: that they were validated on."""
        ranked = [self._ranked(done, key, name, images) for key, name in keys.items()]
        return sorted(ranked, key=lambda one: (one.error is not None, -one.accuracy))

    def finalists(self, done: Done, images: int) -> dict[str, str]:
        """Name -> key of all that are trained in full, the search's own first.

        Raises UserError if none of the search's networks could be trained.
        """
        first = self.ranking(done, self.ours, images)[0]
        if not first.accuracies:
            raise UserError(
                f"found that each of the search's best networks failed when it was trained again ({first.error}), "
                "expected one that trains; give more --top, or another --device"
            )
        beside = {RANDOM: self.ranking(done, self.rivals, images)[0].key} if self.rivals else {}
        return {OURS: first.key, **beside, **self.peers}

    def _ranked(self, done: Done, key: str, name: str, images: int) -> Ranked:
        every = [done[Task(RANK, key, seed)] for seed in range(self.seeds)]
        accuracies = [one.accuracy for one in every if one.accuracy is not None]
        mean = float(np.mean(accuracies)) if accuracies else 0.0
        error = next((one.error for one in every if one.error), None)
        return Ranked(key, name, accuracies, mean, list(interval(mean, images)), error)


def contest(search: Search, ours: Sequence[Trial], rivals: Sequence[Trial], seeds: int) -> Contest:
    """A contest between these trials' networks and the peers for the images at hand."""
    networks: dict[str, Child] = {trial.key: search.network(trial) for trial in [*rivals, *ours]}
    known = peers_of(search)
    networks |= {network.key: network for network in known.values()}
    return Contest(
        networks,
        {trial.key: f"trial {trial.trial}" for trial in ours},
        {trial.key: f"trial {trial.trial} at random" for trial in rivals},
        {name: network.key for name, network in known.items()},
        seeds,
    )


def peers_of(search: Search) -> dict[str, Network]:
    """Well-known networks for the images of a search, none larger than these were decoded."""
    side = min(search.data.images.size, max(search.data.pixels.shape[2:]))
    return peers(search.data.images, side)


def as_trained(record: Mapping[str, Any]) -> Trained:
    """A line of the ledger; raises TypeError for one that is none."""
    return Trained(**record)


def _work(network: Child, images: Images) -> float:
    """0 where nothing is known before it is trained."""
    known = network.costs(images) if isinstance(network, Network) else None
    return known.madds + BLOCK * len(network.blocks) if known and isinstance(network, Network) else 0.0
