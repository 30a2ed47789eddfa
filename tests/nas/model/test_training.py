"""One training in full, on a hundred digits."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.blocks import Block
from nas.data import Data, load
from nas.model.training import Finishing, Task, _Averaged, _Budgeted, loaded, strong, trained
from nas.network import Images, Network
from nas.pool import Job
from nas.space import Space
from nas.train import Resident, evaluate, train

SMALL = Network(8, (Block("conv", 4), Block("residual", 8, stride=2)))


class Broken(Network):
    """A network whose module cannot be made."""

    def module(self, images: Images) -> torch.nn.Module:
        """Fail."""
        raise ValueError("no module today")


BROKEN = Broken(8, (Block("conv", 4),))


@pytest.fixture(scope="module")
def data() -> Data:
    return load("digits", images=200)


@pytest.fixture(scope="module")
def resident(data: Data) -> Resident:
    return Resident(data, "cpu")


def test_the_same_seed_gives_the_same_weights(data: Data, resident: Resident) -> None:
    recipe = strong(data, 1)
    first, second, other = (trained(SMALL, resident, recipe, seed, 1, whole=True) for seed in (0, 0, 1))
    assert first.weights == second.weights != other.weights


def test_weights_come_from_a_training_in_full_alone_and_are_judged_on_no_image(data: Data, resident: Resident) -> None:
    again, full = (trained(SMALL, resident, strong(data, 1), 0, 1, whole=whole) for whole in (False, True))
    assert (again.weights, len(again.accuracy)) == (b"", 1)
    assert sum(map(sum, again.confusion)) == 40  # validation images, for rewards by class
    assert (bool(full.weights), full.accuracy) == (True, ())
    assert again.params == full.params == SMALL.costs(data.images)[0]  # type: ignore[index]


def test_a_training_in_full_has_the_validation_images_too(data: Data, resident: Resident) -> None:
    blind = replace(data, labels=data.labels.copy())
    blind.labels[data.valid] = 0  # whoever trains on these learns that all is a nought
    recipe = replace(strong(data, 2), rate=0.02)
    full, full_blind = (trained(SMALL, Resident(of, "cpu"), recipe, 0, 1, whole=True) for of in (data, blind))
    rank, rank_blind = (trained(SMALL, Resident(of, "cpu"), recipe, 0, 1) for of in (data, blind))
    assert full.weights != full_blind.weights
    assert rank.loss != rank_blind.loss  # judged on other labels,
    assert len(resident.train) == 160  # and what is shared stays as it was


def test_weights_are_an_exponential_average_of_all_steps(data: Data, resident: Resident) -> None:
    recipe = replace(strong(data, 2), batch=80)  # 2 steps an epoch, 4 in all: 5 % of them are less than one step
    attempt = _Averaged(SMALL, resident, recipe, 0.1, 0)
    decay, name = 0.36787944117144233, "stages.0.0.weight"  # exp(-1)
    expected = torch.zeros(())
    for step in range(4):
        pixels, labels = resident.batch(resident.train[40 * step : 40 * step + 40])
        attempt.step(pixels, labels)
        now = attempt.model.state_dict()[name].clone()
        expected = now if step == 0 else decay * expected + (1 - decay) * now
    assert torch.allclose(attempt.average.module.state_dict()[name], expected, atol=1e-6)


def test_budgeted_rate_and_average_go_by_the_clock(data: Data, resident: Resident) -> None:
    attempt = _Budgeted(SMALL, resident, strong(data, 1), 0.1, 0)
    pixels, labels = resident.batch(resident.train[:40])
    name, seconds, weights = "stages.0.0.weight", 1_000.0, []
    attempt.seconds = seconds
    for passed in (500, 550):
        attempt.begun = time.perf_counter() - passed
        attempt.before = time.perf_counter() - 100  # twice 5 % of the seconds, so that the average keeps exp(-2)
        attempt.step(pixels, labels)
        weights.append(attempt.model.state_dict()[name].clone())
    # a tenth of the seconds to rise; in the middle of the others the cosine is at a half
    assert attempt.optimizer.param_groups[0]["lr"] == pytest.approx(0.05, abs=2e-4)
    expected = 0.13533528 * weights[0] + 0.86466472 * weights[1]
    assert torch.allclose(attempt.average.module.state_dict()[name], expected, atol=1e-5)


def test_a_budgeted_training_ends_at_its_limit_with_its_weights(data: Data, resident: Resident) -> None:
    full = trained(SMALL, resident, strong(data, 1), 0, 1, limit=1.0, whole=True, budgeted=True)
    assert (full.error, 1.0 <= full.seconds < 2.0) == (None, True)
    assert full.epochs > 1  # which is what the recipe has
    assert loaded(SMALL, data.images, full.weights)


def test_epochs_are_counted(data: Data, resident: Resident) -> None:
    assert trained(SMALL, resident, strong(data, 2), 0, 1).epochs == 2


def test_a_budget_without_time_for_a_step_is_an_error(data: Data, resident: Resident) -> None:
    full = trained(SMALL, resident, strong(data, 1), 0, 1, limit=0.0, whole=True, budgeted=True)
    assert (full.error, full.weights) == ("time limit: 0 s were allowed, not a step was done", b"")


def test_a_budget_without_a_limit_is_said(data: Data, resident: Resident) -> None:
    with pytest.raises(ValueError, match="found budgeted=True without a limit"):
        trained(SMALL, resident, strong(data, 1), 0, 1, budgeted=True)


@pytest.mark.parametrize("network", [SMALL, BROKEN], ids=["trained", "failed"])
def test_torch_has_as_many_threads_after_a_training_as_before(network: Network, data: Data, resident: Resident) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    found = trained(network, resident, strong(data, 1), 0, 1)
    child = train(network, resident, strong(data, 1), 0, 1, None)
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert (after, bool(found.error), bool(child.error)) == (3, network is BROKEN, network is BROKEN)


def test_the_weights_give_the_network_back(data: Data, resident: Resident) -> None:
    full = trained(SMALL, resident, strong(data, 20), 0, 1, whole=True)
    counts, _ = evaluate(loaded(SMALL, data.images, full.weights), 8, resident)
    assert counts.trace() > 12  # of 40; four would be luck


def test_a_network_that_cannot_be_trained_is_an_error(data: Data, resident: Resident) -> None:
    found = trained(BROKEN, resident, strong(data, 1), 0, 1)
    assert (found.error, found.weights) == ("exception: ValueError: no module today", b"")


def test_a_rate_that_is_too_high_is_an_error(data: Data, resident: Resident) -> None:
    recipe = replace(strong(data, 6), rate=1000, smoothing=0, restarts=0)
    plain = Network(8, (Block("dense", 16), Block("dense", 16)))
    assert (trained(plain, resident, recipe, 0, 1, whole=True).error or "").startswith(
        "diverged: a weight is no finite"
    )


def test_without_norms_a_network_has_a_tenth_of_the_rate(data: Data, resident: Resident) -> None:
    bare = Network(8, (Block(lambda block, channels: torch.nn.Conv2d(channels, 4, 3), 4),))
    normed = Network(8, (Block(lambda block, channels: torch.nn.InstanceNorm2d(channels), 1),))
    rates = [trained(network, resident, strong(data, 1), 0, 1).rate for network in (SMALL, normed, bare)]
    assert rates == [0.1, 0.1, pytest.approx(0.01)]
    adam = replace(strong(data, 1), optimizer="adam", rate=0.001)
    assert trained(bare, resident, adam, 0, 1).rate == 0.001


def test_what_learns_nothing_begins_again_at_lower_rates(data: Data, resident: Resident) -> None:
    recipe = replace(strong(data, 6), rate=1000, smoothing=0)
    plain = Network(8, (Block("dense", 16), Block("dense", 16)))
    lost, found = (trained(plain, resident, replace(recipe, restarts=n), 0, 1) for n in (0, 10))
    assert (lost.error or "").startswith("diverged")
    assert found.rate in [pytest.approx(1000 * norms * 0.4**again) for norms in (1, 0.1) for again in range(1, 11)]
    assert found.accuracy[0] > 0.2


def test_what_learns_slowly_on_few_unequal_images_does_not_begin_again(data: Data) -> None:
    nine = np.flatnonzero(data.labels == 1)  # one image of ten
    few = replace(data, labels=np.isin(np.arange(len(data.labels)), nine).astype(np.int64), classes=("others", "one"))
    recipe = strong(few, 4)
    found, alone = (trained(SMALL, Resident(few, "cpu"), replace(recipe, restarts=n), 0, 1) for n in (4, 0))
    assert found.rate == recipe.rate
    assert found.accuracy == alone.accuracy


def test_where_no_rate_teaches_anything_the_first_is_kept(data: Data, resident: Resident) -> None:
    deaf = Network(8, (Block(lambda block, channels: torch.nn.Threshold(1e9, 0.0), 1),))
    recipe = strong(data, 4)
    found, alone = (trained(deaf, resident, replace(recipe, restarts=n), 0, 1) for n in (2, 0))
    assert (found.rate, found.accuracy, found.loss) == (alone.rate, alone.accuracy, alone.loss)


@pytest.mark.parametrize(
    ("name", "channels", "mirrored"),
    [
        ("digits", 1, False), ("npz:letters.npz", 1, False), ("fashion-mnist", 1, True),
        ("folder:photos", 3, True), ("svhn", 3, False),
    ],
)  # fmt: skip
def test_images_in_colour_are_mirrored_and_digits_are_not(data: Data, name: str, channels: int, mirrored: bool) -> None:
    of = replace(data, name=name, pixels=data.pixels.repeat(channels, 1))
    assert strong(of, 1).flip == mirrored
    assert not strong(of, 1, flip=False).flip


def test_crops_are_an_eighth_of_the_images(data: Data) -> None:
    assert strong(data, 1).crop == 1  # of 8 pixels


def test_a_pool_does_the_task_of_a_jobs_number(data: Data) -> None:
    training = Finishing(
        Space(), data, strong(data, 1), "cpu", 1, None,
        networks={SMALL.key: SMALL}, tasks=(Task("full", SMALL.key, 0), Task("rank", SMALL.key, 0)),
    )  # fmt: skip
    assert [bool(training(Job(number, (), 0)).accuracy) for number in (0, 1)] == [False, True]
