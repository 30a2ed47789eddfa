"""Who takes part in a finish: the search's best networks, those of a random search, and well-known ones.

Searches' networks are ranked by the search's own reward of their new trainings, with the costs that the search found;
by validation accuracy where that is the reward, or where the reward is one's own, whose code a ledger does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from nas.errors import UserError
from nas.ledger import Trial
from nas.model.judge import OURS
from nas.model.lines import FILE, FOLDER
from nas.model.peers import peers
from nas.model.searched import Search
from nas.model.training import FULL, RANK, Task
from nas.network import Images, Network
from nas.reward import COSTS, Priced, Result, Reward, accuracy, rewarded
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
    reward: float | None = None  # the search's, of a training to choose by; None where accuracy ranks
    rate: float | None = None  # the highest one; None where it failed

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
    reward: float | None  # mean over the same seeds; None where accuracy ranks
    costs: dict[str, float]  # by names of COSTS, as the search found them: latency, and what has a price


@dataclass(frozen=True)
class Contest:
    """Networks by key, and who has entered them."""

    networks: Mapping[str, Child]
    ours: Mapping[str, str]  # key -> "trial 17"
    rivals: Mapping[str, str]  # key -> "trial 3 at random"
    peers: Mapping[str, str]  # name -> key
    seeds: int
    results: Mapping[str, Result] = field(default_factory=dict)  # key -> what its search found of it
    reward: Reward | None = None  # by which searches' networks are ranked; None: by accuracy

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

    def total(self, images: Images, finalists: Mapping[str, str] | None = None) -> tuple[int, float]:
        """How many trainings there will be, and their work; of finalists that are not known yet, the mean one's."""
        work = self.work(images)
        if finalists is not None:
            every = [*self.rank_tasks(), *self.full_tasks(finalists.values())]
            return len(every), sum(work[task.key] for task in every)
        searched = {**self.ours, **self.rivals}
        unknown = 1 + bool(self.rivals)
        mean = float(np.mean([work[key] for key in searched]))
        of_seed = sum(work[key] for key in [*searched, *self.peers.values()]) + unknown * mean
        return self.seeds * (len(searched) + len(self.peers) + unknown), self.seeds * of_seed

    def ranking(self, done: Done, keys: Mapping[str, str], images: int) -> list[Ranked]:
        """These networks, the best first, those of which a seed failed last. images: that they were validated on."""
        ranked = [self._ranked(done, key, name, images) for key, name in keys.items()]
        return sorted(ranked, key=_rank)

    def rewarded(self, key: str, result: Result) -> float | None:
        """The reward of a network's new training, with what its search measured of it; None where accuracy ranks."""
        if self.reward is None or not result.accuracy:
            return None
        known = self.results[key]
        measured = replace(
            result,
            latency_ms=known.latency_ms,
            batch_latency_ms=known.batch_latency_ms,
            peak_memory=known.peak_memory,
        )
        return rewarded(self.reward, measured)

    def costs(self, row: Mapping[str, Any]) -> Result:
        """What a line of the table costs; of a peer no latency and no peak memory is known."""
        known = self.results.get(row["key"], Result())
        return replace(known, accuracy=(row["accuracy"],), params=row["params"], madds=row["madds"], error=None)

    def priced(self, row: Mapping[str, Any], reward: Priced) -> float | None:
        """The reward of a line of the table; None where its cost is not known, as the latency of a peer."""
        result = self.costs(row)
        return None if result.cost(reward.cost) is None else float(reward(result))

    def finalists(self, done: Done, images: int) -> dict[str, str]:
        """Name -> key of all that are trained in full, the search's own first.

        Raises UserError if none of the search's networks could be trained.
        """
        first = self.ranking(done, self.ours, images)[0]
        if not first.accuracies:
            raise UserError(
                f"found that each of the search's best networks failed when it was trained again ({first.error}), "
                f"expected one that trains; remove {FOLDER}/{FILE} in the search's folder, and give more --top, or "
                "another --device"
            )
        beside = {RANDOM: self.ranking(done, self.rivals, images)[0].key} if self.rivals else {}
        return {OURS: first.key, **beside, **self.peers}

    def _ranked(self, done: Done, key: str, name: str, images: int) -> Ranked:
        every = [done[Task(RANK, key, seed)] for seed in range(self.seeds)]
        accuracies = [one.accuracy for one in every if one.accuracy is not None]
        rewards = [one.reward for one in every if one.reward is not None]
        mean, reward = (float(np.mean(values)) if values else None for values in (accuracies, rewards))
        error = next((one.error for one in every if one.error), None)
        within = list(interval(mean or 0.0, images))
        return Ranked(key, name, accuracies, mean or 0.0, within, error, reward, self._costs(key))

    def _costs(self, key: str) -> dict[str, float]:
        priced = self.reward.cost if isinstance(self.reward, Priced) else None
        found = {name: self.results[key].cost(name) for name in ("latency", priced) if name and key in self.results}
        return {name: cost for name, cost in found.items() if cost is not None}


def _rank(one: Ranked) -> tuple[bool, bool, float]:
    """Less, the better."""
    return one.error is not None, not one.accuracies, -(one.accuracy if one.reward is None else one.reward)


def ranked_by(search: Search) -> str:
    """By what a search's networks are ranked, in words."""
    written = search.header["reward"]
    if search.reward is None:
        return f"by validation accuracy: the search's reward, {written}, is code of your own, which its ledger lacks"
    return "by validation accuracy" if search.reward is accuracy else f"by the search's reward, {written}"


def ranking_table(ranked: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """A ranking, each one `Ranked._asdict()`, as texts: columns, and rows of as many; accuracies in percent."""
    costs = list(dict.fromkeys(name for one in ranked for name in one.get("costs", {})))
    by_reward = any(one.get("reward") is not None for one in ranked)
    columns = ["network", *["reward"] * by_reward, "validation accuracy", "95 %", "seeds", *(COSTS[c] for c in costs)]
    return columns, [_row(one, by_reward, costs) for one in ranked]


def _row(one: Mapping[str, Any], by_reward: bool, costs: Sequence[str]) -> list[str]:
    each = "–".join(f"{100 * bound(one['accuracies']):.2f}" for bound in (min, max) if one["accuracies"])
    low, high = (f"{100 * bound:.2f}" for bound in one["interval"])
    failed = [f"a seed failed: {one['error']}"] if one["error"] else []
    reward = one.get("reward")
    return [
        one["name"], *["" if reward is None else f"{reward:.4f}"] * by_reward, f"{100 * one['accuracy']:.2f}",
        f"{low}–{high}", "; ".join([*[each] * bool(each), *failed]), *(_cost(one["costs"].get(name)) for name in costs),
    ]  # fmt: skip


def _cost(value: float | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


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
        {trial.key: trial.result for trial in [*rivals, *ours] if trial.result},
        None if search.reward is accuracy else search.reward,
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
