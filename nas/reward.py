"""What training gave, and the rewards made of it: the only number a controller sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from nas.errors import UserError, near, where

# What a network may cost, by what a reward calls it: the less, the better.
COSTS = {"params": "parameters", "madds": "multiply-adds", "latency": "ms an image", "memory": "bytes of peak memory"}
LARGEST = 1e100  # a reward, either way; pictures and sums of larger ones overflow
OF_REWARD = "exception: the reward of this result"  # how the error of a child begins whose reward is no such number
MEASURED = ("latency", "memory")  # of these, what differs from run to run


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
    latency_ms: tuple[float, ...] = ()  # of one image, if measured: median, lower and upper quartile
    batch_latency_ms: tuple[float, ...] = ()  # the same of a whole batch
    peak_memory: int | None = None  # bytes that inference of one image takes at most, if measured

    @property
    def of_worker(self) -> bool:
        """Whether the failure was the pool's and says nothing of the network."""
        return self.error is not None and self.error.startswith("worker")

    def cost(self, name: str) -> float | None:
        """One of COSTS, of latencies the median; None where it is not known."""
        latency = self.latency_ms[0] if self.latency_ms else None
        return {"params": self.params, "madds": self.madds, "latency": latency, "memory": self.peak_memory}[name]


@dataclass(frozen=True)
class Bounds:
    """What a network may cost at most, None for anything; one that costs more is refused before it is trained."""

    max_params: int | None = None
    max_madds: int | None = None
    max_latency_ms: float | None = None  # of one image, the median

    def __post_init__(self) -> None:
        for name, most in self.given.items():
            if not 0 < most < float("inf"):
                raise UserError(f"{name}: found {most}, expected a number above 0; leave it out for no bound")

    @property
    def every(self) -> dict[str, float | None]:
        """All of them, by name."""
        return asdict(self)

    @property
    def given(self) -> dict[str, float]:
        """Those that are set, by name."""
        return {name: most for name, most in self.every.items() if most is not None}

    def __str__(self) -> str:
        """Those that are set, as in "max_params=60,000, max_latency_ms=3.0"."""
        return ", ".join(f"{name}={most:,}" for name, most in self.given.items())

    def above(self, result: Result) -> dict[str, float]:
        """By bound, what a network with these costs has too much of; what is not known is not too much."""
        found = {name: result.cost(bounded(name)) for name in self.given}
        return {name: cost for name, cost in found.items() if cost is not None and cost > self.given[name]}

    def refusal(self, result: Result) -> str:
        """What a network with these costs has too much of first; empty for nothing."""
        for name, found in self.above(result).items():
            expected = f"expected at most {self.given[name]:,}, as --{name.replace('_', '-')} says"
            return f"found {found:,} {COSTS[bounded(name)]}, {expected}"
        return ""


def bounded(name: str) -> str:
    """Which of COSTS a bound of this name is on."""
    return name.removeprefix("max_").removesuffix("_ms")


UNBOUND = Bounds()

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
    met = [(row[of], sum(row)) for of, row in enumerate(result.confusion) if any(row)]
    return sum(hits / images for hits, images in met) / len(met)


def macro_f1(result: Result) -> float:
    """The mean over classes of F1 = 2 TP / (2 TP + FP + FN); classes never met nor predicted are left out."""
    rows, columns = result.confusion, zip(*result.confusion, strict=True)
    either = [(row[of], sum(row) + sum(column)) for of, (row, column) in enumerate(zip(rows, columns, strict=True))]
    shares: list[float] = [2 * hits / images for hits, images in either if images]
    return sum(shares) / len(shares)


@dataclass(frozen=True)
class Priced:
    """Accuracy × (cost / target)^w: alpha is w up to the target, beta is w beyond it; cost is one of COSTS.

    Source: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, section 3.1,
    equations 2 and 3. The accuracy is that of the validation images after the last epoch.
    """

    target: float = math.nan  # none given
    cost: str = "madds"
    alpha: float = 0.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        name = f"reward {type(self).__name__.lower()}"
        if self.cost not in COSTS:
            mend = near(self.cost, COSTS)
            raise UserError(f"{name}: found the cost {self.cost!r}{mend}, expected one of {', '.join(COSTS)}")
        if not 0 < self.target < math.inf:
            there = "no target=" if math.isnan(self.target) else f"the target {self.target:g}"
            raise UserError(
                f"{name}: found {there}, expected a number above 0 of {COSTS[self.cost]}, as in "
                f"{type(self).__name__.lower()}:target=2e6,cost=madds"
            )
        if not (-100 <= self.alpha <= 0 and -100 <= self.beta <= 0):
            raise UserError(
                f"{name}: found alpha={self.alpha:g} and beta={self.beta:g}, expected exponents from -100 to 0, so "
                "that what costs more is worth less"
            )

    def __call__(self, result: Result) -> float:
        """The reward; raises UserError for a result that lacks the cost."""
        cost = result.cost(self.cost)
        if not cost:
            raise UserError(
                f"reward {self!r}: found a network with {cost} {COSTS[self.cost]}, expected a number above 0; name "
                "another cost that all networks have"
            )
        exponent = self.alpha if cost <= self.target else self.beta
        return float(result.accuracy[-1] * (cost / self.target) ** exponent)


@dataclass(frozen=True)
class Soft(Priced):
    """Whatever is saved counts, below the target too: twice the cost must bring 5 % more accuracy."""

    alpha: float = -0.07
    beta: float = -0.07


@dataclass(frozen=True)
class Hard(Priced):
    """Accuracy alone up to the target; beyond it, what costs twice as much is worth half."""

    beta: float = -1.0


PRICES: dict[str, type[Priced]] = {"soft": Soft, "hard": Hard}

REWARDS: dict[str, Reward] = {
    "accuracy": accuracy,
    "cubed": cubed,
    "negative-loss": negative_loss,
    "balanced-accuracy": balanced_accuracy,
    "macro-f1": macro_f1,
}
