"""Ranks, and who is trained in full, by hand."""

from dataclasses import replace

import pytest

from nas.errors import UserError
from nas.model.contest import Contest, Trained, ranking_table
from nas.model.peers import mlp
from nas.network import Images, Network
from nas.reward import Hard, Result, macro_f1
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
    known = {"this search": ONE.key, "random search": ONE.key, "MLP": PEER.key}  # two that are one
    assert CONTEST.total(Images(8, 1, 10), known) == (
        2 * (2 + 2),
        2 * (2 * each[ONE.key] + each[TWO.key] + each[PEER.key]),
    )


PRICED = replace(
    CONTEST,
    reward=Hard(1.0, "latency"),
    results={ONE.key: Result(latency_ms=(2.0, 1.5, 2.5)), TWO.key: Result(latency_ms=(0.5, 0.4, 0.6))},
)


def test_the_reward_of_a_new_training_has_the_costs_that_the_search_measured() -> None:
    trained = Result((0.75,), (1.0,))
    assert PRICED.rewarded(ONE.key, trained) == 0.375  # beyond the target: 0.75 * (2 / 1)^-1
    assert PRICED.rewarded(TWO.key, trained) == 0.75
    assert PRICED.rewarded(ONE.key, Result(error="diverged")) is None
    assert CONTEST.rewarded(ONE.key, trained) is None  # accuracy ranks


def test_a_reward_by_class_has_the_counts_of_the_new_training() -> None:
    by_class = replace(PRICED, reward=macro_f1)
    assert by_class.rewarded(ONE.key, Result((0.75,), (1.0,), confusion=((2, 0), (0, 2)))) == 1.0


def test_networks_are_ranked_by_the_mean_reward_where_that_is_not_accuracy() -> None:
    each = [(ONE, 0, 0.9, 0.4), (ONE, 1, 0.9, 0.5), (TWO, 0, 0.8, 0.6), (TWO, 1, 0.7, 0.5)]
    ranked = [Trained("rank", network.key, seed, accuracy, reward=reward) for network, seed, accuracy, reward in each]
    first, second = PRICED.ranking({one.task: one for one in ranked}, OURS, 100)
    assert (first.name, first.accuracy, first.reward, first.costs) == ("trial 2", 0.75, 0.55, {"latency": 0.5})
    assert (second.name, second.accuracy, second.reward) == ("trial 1", 0.9, 0.45)
    columns, rows = ranking_table([first._asdict(), second._asdict()])
    assert columns == ["network", "reward", "validation accuracy", "95 %", "seeds", "ms an image"]
    assert rows[0] == ["trial 2", "0.5500", "75.00", "65.70–82.45", "70.00–80.00", "0.5"]


def test_a_network_that_never_trained_is_last_even_where_rewards_are_negative() -> None:
    ranked = [Trained("rank", ONE.key, 0, 0.5, reward=-2.0), Trained("rank", ONE.key, 1, error="diverged")]
    ranked += [Trained("rank", TWO.key, seed, error="diverged") for seed in (0, 1)]
    assert [one.name for one in PRICED.ranking({one.task: one for one in ranked}, OURS, 100)] == ["trial 1", "trial 2"]


def test_a_ranking_by_accuracy_has_neither_reward_nor_costs() -> None:
    ranked = CONTEST.ranking(done((ONE, 0, 0.5), (ONE, 1, 0.5)), {ONE.key: "x"}, 100)  # type: ignore[arg-type]
    columns, (row,) = ranking_table([ranked[0]._asdict()])
    assert columns == ["network", "validation accuracy", "95 %", "seeds"]
    assert row == ["x", "50.00", "40.38–59.62", "50.00–50.00"]


def test_a_ranked_network_shows_the_range_over_its_seeds_and_what_failed() -> None:
    ranked = {"name": "trial 3", "accuracy": 0.5, "interval": [0.4, 0.6], "accuracies": [0.45, 0.55], "error": None}
    _, rows = ranking_table([ranked, ranked | {"error": "diverged"}])
    assert rows[0] == ["trial 3", "50.00", "40.00–60.00", "45.00–55.00"]
    assert rows[1][3] == "45.00–55.00; a seed failed: diverged"
