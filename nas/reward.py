"""What training gave, and the rewards made of it: the only number a controller sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.errors import UserError, where


@dataclass(frozen=True)
class Result:
    """What one child's training gave. Curves have one value an epoch, on the validation images.

    An error begins with its kind: "refused", "out of memory", "time limit", "diverged", "exception" are the child's
    and remembered against its network; "worker" is the pool's and is not.
    """

    accuracy: tuple[float, ...] = ()  # fraction
    loss: tuple[float, ...] = ()  # mean cross entropy, nats
    params: int | None = None
    madds: int | None = None  # multiply-adds for one image
    seconds: float = 0.0
    memory: int | None = None  # bytes of the GPU's memory at most
    confusion: tuple[tuple[int, ...], ...] = ()  # K rows of true classes, K columns of predicted ones; last epoch
    precision: str | None = None  # of the training: "float32", or "bfloat16" where the device is faster with it
    error: str | None = None
    bar: tuple[float, ...] = ()  # of a child that was stopped: by epoch, the least likelihood to go on

    @property
    def of_worker(self) -> bool:
        """Whether the failure was the pool's and says nothing of the network."""
        return self.error is not None and self.error.startswith("worker")


Reward = Callable[[Result], float]


def rewarded(reward: Reward, result: Result) -> float:
    """The reward of a result as a number; raises UserError if it gives none."""
    try:
        return float(reward(result))
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        name = getattr(reward, "__name__", repr(reward))
        raise UserError(
            f"reward {name}: found {type(error).__name__}: {error} {where(error)}, expected a number for every result; "
            "mend it, and the same command goes on"
        ) from error


def accuracy(result: Result) -> float:
    """Validation accuracy after the last epoch (Baker et al. 2017)."""
    return result.accuracy[-1]


def cubed(result: Result) -> float:
    """The highest validation accuracy of the last five epochs, cubed (Zoph & Le 2017, section 4.1)."""
    return float(max(result.accuracy[-5:]) ** 3)


def negative_loss(result: Result) -> float:
    """Minus the validation loss after the last epoch."""
    return -result.loss[-1]


def balanced_accuracy(result: Result) -> float:
    """The mean over classes of the share of their images that were found; classes without images are left out."""
    counts = np.array(result.confusion, float)
    images = counts.sum(1)
    return float((counts.diagonal()[images > 0] / images[images > 0]).mean())


def macro_f1(result: Result) -> float:
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN); classes never met nor predicted are left out."""
    counts = np.array(result.confusion, float)
    hits, either = counts.diagonal(), counts.sum(0) + counts.sum(1)
    return float((2 * hits[either > 0] / either[either > 0]).mean())


REWARDS: dict[str, Reward] = {
    "accuracy": accuracy,
    "cubed": cubed,
    "negative-loss": negative_loss,
    "balanced-accuracy": balanced_accuracy,
    "macro-f1": macro_f1,
}
