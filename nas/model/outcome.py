"""What a finish comes to: the test images' figures, and the model that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas import machine, recorded
from nas.check import counted
from nas.data import test_images
from nas.errors import UserError
from nas.model import MODEL
from nas.model.card import card
from nas.model.contest import Contest
from nas.model.judge import OURS, Figures, difference, figures, predicted
from nas.model.saved import Model, is_whole, save
from nas.model.searched import Search
from nas.model.training import FULL, Task, loaded
from nas.model.trainings import Trainings, weights, weights_file
from nas.space import Child
from nas.summary import interval

if TYPE_CHECKING:
    from nas.cache import Ints

SHOWN = 64  # validation images that a model's programs are held against


@dataclass(frozen=True)
class Final:
    """All trainings of a contest, done; finalists: name -> key of what was trained in full."""

    search: Search
    contest: Contest
    trainings: Trainings
    finalists: Mapping[str, str]

    def rows(self, device: str) -> list[Figures]:
        """A line of the table for each finalist. This alone touches test images.

        Raises UserError if the search's own network failed with every seed.
        """
        self._check()
        pixels, labels = test_images(self.search.data.name, **self.search.images)
        where = machine.device(device)
        found = {
            name: [predicted(self._model(task), pixels, where) for task in self.ended(name)] for name in self.finalists
        }
        return [self._row(name, found, labels) for name in self.finalists]

    def ended(self, name: str) -> list[Task]:
        """The trainings in full of a finalist that did not fail."""
        tasks = self.contest.full_tasks([self.finalists[name]])
        return [task for task in tasks if self.trainings.done[task].error is None]

    def _check(self) -> None:
        if not self.ended(OURS):
            key = self.finalists[OURS]
            raise UserError(
                f"{self.contest.names[key]}: found that it failed when it was trained in full "
                f"({self.trainings.done[Task(FULL, key, 0)].error}), expected a seed that trains; remove "
                f"{self.trainings.lines.path}, and finish with another --device or other --epochs"
            )

    def _model(self, task: Task) -> Model:
        return model_of(self.search, self.contest.networks[task.key], self.trainings.weights(task))

    def _row(self, name: str, found: Mapping[str, list[Ints]], labels: Ints) -> Figures:
        """What became of one finalist; of what failed, why."""
        key, ended = self.finalists[name], self.ended(name)
        every = [self.trainings.done[task] for task in self.contest.full_tasks([key])]
        row: Figures = {"name": name, "network": self.contest.names[key], "key": key}
        if not ended:
            return row | {"error": every[0].error}
        done = [self.trainings.done[task] for task in ended]
        row |= {"params": done[0].params, "madds": done[0].madds, "failed": len(every) - len(done)}
        row |= {"rates": [one.rate for one in done]}
        row |= figures(labels, found[name]) | {"seconds": float(np.mean([one.seconds for one in done]))}
        return row if name == OURS else row | {"difference": difference(labels, found[OURS], found[name])}


def chosen(final: Final, rows: Sequence[Figures]) -> Figures:
    """The model that is kept: the first seed of the winner that did not fail, for no image is left to choose by."""
    task = final.ended(OURS)[0]
    trial = next(trial for trial in final.search.trials if trial.key == task.key and trial.scored)
    accuracy = rows[0]["accuracies"][0]
    return {
        "trial": trial.trial, "key": trial.key, "network": trial.network, "seed": task.seed, "accuracy": accuracy,
        "interval": list(interval(accuracy, rows[0]["images"])), "params": rows[0]["params"], "madds": rows[0]["madds"],
        "weights": final.trainings.done[task].weights,
    }  # fmt: skip


def cost(search: Search) -> Figures:
    """What a search was, and what it took."""
    said = ("space", "controller", "data", "reward", "seed", "recipe", "code", "versions", "cpu", "gpu")
    size = counted(search.space)
    return {
        **{name: search.header.get(name) for name in said},
        "size": size and str(size),
        "bounds": recorded.bounds(search.header).given,
        "trials": len(search.trials),
        "networks": sum(trial.trained for trial in search.trials),
        "device_seconds": round(sum(trial.result.seconds for trial in search.trials if trial.result), 1),
        "wall_seconds": max(trial.at for trial in search.trials),
    }


def keep(search: Search, folder: Path, found: Figures) -> None:
    """Leave the model beside the search's ledger, unless it lies there whole; of all weights in `folder`, keep its own.

    Raises UserError if neither the model nor its weights are there.
    """
    of, place = found["model"], search.folder / MODEL
    task = Task(FULL, of["key"], of["seed"])
    if not is_whole(place, found):
        trial = next(trial for trial in search.trials if trial.trial == of["trial"])
        model = model_of(search, search.network(trial), weights(folder, task, of["weights"]))
        shown = search.data.pixels[search.data.valid[:SHOWN]]
        save(model, place, found, card(found, search.data.classes), shown)
    kept = weights_file(folder, task)
    for other in kept.parent.glob("*"):
        if other != kept and other.suffix == ".safetensors":
            other.unlink()


def model_of(search: Search, network: Child, written: bytes) -> Model:
    """A network of a search with these weights, as safetensors wrote them."""
    data = search.data
    module = loaded(network, data.images, written)
    return Model(network, module, data.decoded, data.classes, data.mean, data.std)
