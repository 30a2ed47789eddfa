"""Ranks, and who is trained in full, by hand."""

import pytest

from nas.errors import UserError
from nas.model.contest import Contest, Trained
from nas.model.peers import mlp
from nas.network import Images, Network
from nas.summary import interval

ONE, TWO, PEER = Network(8, ()), Network(9, ()), mlp(8)
OURS, RIVALS = {ONE.key: "trial 1", TWO.key: "trial 2"}, {TWO.key: "trial 0 at random"}
CONTEST = Contest({n.key: n for n in (ONE, TWO, PEER)}, OURS, RIVALS, {"MLP": PEER.key}, 2)


def done(*accuracies: tuple[Network, int, float | None]) -> dict[object, Trained]:
    every = [
        Trained("rank", network.key, seed, accuracy, error=None if accuracy is not None else "diverged")
        for network, seed, accuracy in accuracies
    ]
    return {trained.task: trained for trained in every}


def test_networks_are_ranked_by_their_mean_with_its_interval() -> None:
    first, second = CONTEST.ranking(done((ONE, 0, 0.5), (ONE, 1, 0.9), (TWO, 0, 0.8), (TWO, 1, 0.7)), OURS, 100)  # type: ignore[arg-type]
    assert (first.name, first.accuracy, first.accuracies) == ("trial 2", 0.75, [0.8, 0.7])
    assert (second.name, second.accuracy) == ("trial 1", 0.7)
    assert tuple(first.interval) == interval(0.75, 100)


def test_a_network_of_which_a_seed_failed_comes_after_those_that_never_did() -> None:
    ranked = CONTEST.ranking(done((ONE, 0, 0.99), (ONE, 1, None), (TWO, 0, 0.2), (TWO, 1, 0.2)), OURS, 100)  # type: ignore[arg-type]
    assert [(one.name, one.error) for one in ranked] == [("trial 2", None), ("trial 1", "diverged")]


def test_the_first_of_each_search_and_all_peers_are_trained_in_full() -> None:
    ranked = done((ONE, 0, 0.9), (ONE, 1, 0.9), (TWO, 0, 0.8), (TWO, 1, 0.7))
    found = CONTEST.finalists(ranked, 100)  # type: ignore[arg-type]
    assert found == {"this search": ONE.key, "random search": TWO.key, "MLP": PEER.key}


def test_a_network_that_two_have_entered_is_trained_once_a_seed() -> None:
    assert len(CONTEST.rank_tasks()) == 4  # two networks, two seeds
    assert len(CONTEST.full_tasks([ONE.key, ONE.key, PEER.key])) == 4


def test_a_search_whose_best_all_fail_again_is_refused() -> None:
    failed = done((ONE, 0, None), (ONE, 1, None), (TWO, 0, None), (TWO, 1, None))
    with pytest.raises(UserError, match=r"each of the search's best networks failed .* \(diverged\), expected one"):
        CONTEST.finalists(failed, 100)  # type: ignore[arg-type]


def test_the_work_in_all_is_that_of_every_training() -> None:
    count, work = CONTEST.total(Images(8, 1, 10))
    each = CONTEST.work(Images(8, 1, 10))
    mean = (each[ONE.key] + each[TWO.key]) / 2  # of the two that are not known yet
    assert (count, work) == (2 * (2 + 2 + 1), 2 * (each[ONE.key] + each[TWO.key] + 2 * mean + each[PEER.key]))
