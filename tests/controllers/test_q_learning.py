"""Q-learning: MetaQNN's update and schedule by hand, and what the agent makes of them."""

from collections import Counter

import pytest

from controllers.q_learning import SCHEDULES, QLearning, QTable, Row, epsilon, state_of, update
from nas.blocks import Block
from nas.errors import UserError
from nas.network import Network
from nas.space import Candidate, Choice, Pick, Space


class Layers(Space):
    """One or two layers of one of two kinds; the state is the layer."""

    kind = Choice("a", "b")
    more = Choice(False, True)

    def build(self, pick: Pick) -> Network:
        blocks = [Block("identity", 1, extra=(pick(self.kind, state="first"),))]
        if pick(self.more, state="first"):
            blocks.append(Block("identity", 1, extra=(pick(self.kind, state="second"),)))
        return Network(8, tuple(blocks))


def candidate(*answers: int) -> Candidate:
    return Layers().replay(answers)


def learner(**parameters: float | int | str) -> QLearning:
    settings = {"rate": 0.5, "trace": 0.0, "replays": 0} | parameters
    return QLearning(Layers(), 0, 100, **settings)  # type: ignore[arg-type]


# --- the update ---


def test_one_update_takes_the_reward_to_the_first_question() -> None:
    q: QTable = {"start": Row({0: 0.5, 1: 0.5}), "conv": Row({0: 0.5, 1: 0.5})}
    update([(q["start"], 1), (q["conv"], 0)], reward=1.0, rate=0.5)
    assert q["conv"] == {0: 0.75, 1: 0.5}  # 0.5 · 0.5 + 0.5 · 1.0
    assert q["start"] == {0: 0.5, 1: 0.625}  # 0.5 · 0.5 + 0.5 · max(0.75, 0.5)


def test_a_step_is_worth_the_best_answer_after_it_and_not_the_one_given() -> None:
    q: QTable = {"start": Row({0: 0.0}), "conv": Row({0: 0.0, 1: 0.8})}
    update([(q["start"], 0), (q["conv"], 0)], reward=0.2, rate=0.5)
    assert q == {"start": {0: 0.4}, "conv": {0: 0.1, 1: 0.8}}  # 0.5 · 0.8


def test_a_discount_counts_once_for_each_step_before_the_last() -> None:
    q: QTable = {"a": Row({0: 0.0}), "b": Row({0: 0.0}), "c": Row({0: 0.0})}
    update([(q["a"], 0), (q["b"], 0), (q["c"], 0)], reward=1.0, rate=1.0, discount=0.5)
    assert q == {"a": {0: 0.25}, "b": {0: 0.5}, "c": {0: 1.0}}


def test_a_trace_mixes_the_networks_own_reward_into_the_targets() -> None:
    q: QTable = {"a": Row({0: 0.0}), "b": Row({0: 0.0, 1: 0.8}), "c": Row({0: 0.4})}
    update([(q["a"], 0), (q["b"], 0), (q["c"], 0)], reward=0.0, rate=0.5, trace=0.5)
    assert q["c"] == {0: 0.2}  # 0.5 · 0.4 + 0.5 · 0
    assert q["b"] == {0: pytest.approx(0.05), 1: 0.8}  # 0.5 · 0 + 0.5 · (0.5 · 0.2 + 0.5 · 0)
    assert q["a"] == {0: pytest.approx(0.225)}  # 0.5 · 0 + 0.5 · (0.5 · 0.8 + 0.5 · 0.1), for b had the target 0.1


def test_with_a_trace_of_one_every_step_has_the_reward_for_its_target() -> None:
    q: QTable = {"a": Row({0: 0.0, 1: 9.0}), "b": Row({0: 0.0, 1: 9.0})}
    update([(q["a"], 0), (q["b"], 0)], reward=1.0, rate=0.5, trace=1.0)
    assert q == {"a": {0: 0.5, 1: 9.0}, "b": {0: 0.5, 1: 9.0}}


def test_a_row_knows_its_best_when_that_falls_and_when_answers_become_legal() -> None:
    row = Row({0: 0.25, 1: 1.0})
    update([(row, 1)], reward=0.0, rate=1.0)
    assert (row, row.best) == ({0: 0.25, 1: 0.0}, 0.25)
    row.allow((0, 2), 0.5)
    assert (row, row.best) == ({0: 0.25, 1: 0.0, 2: 0.5}, 0.5)


def test_the_papers_rate_is_one_hundredth() -> None:
    q: QTable = {"start": Row({0: 0.5})}
    update([(q["start"], 0)], reward=1.0)
    assert q == {"start": {0: 0.505}}


def test_an_answer_that_is_not_known_is_an_error() -> None:
    with pytest.raises(KeyError):
        update([(Row({0: 0.5, 1: 0.5}), 2)], reward=1.0)


# --- the schedule ---


@pytest.mark.parametrize(
    ("trained", "chance"),
    [
        (0, 1.0), (1499, 1.0), (1500, 0.9), (1599, 0.9), (1600, 0.8), (1700, 0.7), (1799, 0.7), (1800, 0.6),
        (1950, 0.5), (2100, 0.4), (2250, 0.3), (2400, 0.2), (2549, 0.2), (2550, 0.1), (2699, 0.1), (2700, 0.1),
    ],
)  # fmt: skip
def test_epsilon_falls_as_in_table_2(trained: int, chance: float) -> None:
    assert epsilon("metaqnn", trained / 2700) == chance


@pytest.mark.parametrize(
    ("trial", "chance"),
    [(0, 1.0), (9, 1.0), (10, 0.9), (14, 0.8), (38, 0.2), (41, 0.2), (42, 0.1), (99, 0.1), (100, 0.1), (500, 0.1)],
)
def test_the_short_schedule_of_a_hundred_trials(trial: int, chance: float) -> None:
    assert epsilon("short", trial / 100) == chance


def test_the_papers_schedule_counts_different_networks_and_the_short_one_trials() -> None:
    papers, short = learner(schedule="metaqnn"), learner(schedule="short")  # over 100 trials
    for trial in range(11):  # ten of them repeats, one of a network that failed
        papers.tell(trial, candidate(0, 0), None if trial == 0 else 0.5)
        short.tell(trial, candidate(0, 0), 0.5)
    assert [papers.figures(trial)["epsilon"] for trial in (65, 66)] == [1.0, 0.9]  # 55 of 100, and 1,500 of 2,700
    assert [short.figures(trial)["epsilon"] for trial in (11, 42)] == [0.9, 0.1]


def test_the_schedules_last_as_long_as_they_say() -> None:
    assert {name: sum(trials for _, trials in stages) for name, stages in SCHEDULES.items()} == {
        "metaqnn": 2700,
        "short": 100,
    }


# --- the agent ---


def test_a_row_is_a_choice_and_a_state() -> None:
    assert [state_of(question) for question in candidate(0, 1, 1).questions] == [
        ("kind", "first"),
        ("more", "first"),
        ("kind", "second"),
    ]


def test_the_table_grows_with_the_states_that_are_told() -> None:
    agent = learner()
    assert agent.q == {}
    agent.tell(0, candidate(0, 0), 1.0)
    assert agent.q == {
        ("kind", "first"): {0: 0.625, 1: 0.5},  # 0.5 · 0.5 + 0.5 · 0.75
        ("more", "first"): {0: 0.75, 1: 0.5},
    }
    agent.tell(1, candidate(1, 1, 0), 0.0)
    assert agent.q == {
        ("kind", "first"): {0: 0.625, 1: 0.625},  # 0.5 · 0.5 + 0.5 · max(0.75, 0.5)
        ("more", "first"): {0: 0.75, 1: 0.5},  # 0.5 · 0.5 + 0.5 · max(0.25, 0.5)
        ("kind", "second"): {0: 0.25, 1: 0.5},
    }


def test_replays_go_on_learning_from_what_was_told() -> None:
    agent = learner(replays=100)
    agent.tell(0, candidate(0, 0), 1.0)
    assert agent.q[("kind", "first")][0] == pytest.approx(1.0)


def test_a_repeat_is_told_as_any_other() -> None:
    agent = learner()
    for trial in range(2):
        agent.tell(trial, candidate(0, 0), 1.0)
    assert agent.q[("more", "first")][0] == 0.875  # 0.5, 0.75, 0.875
    assert len(agent.memory) == 2


def test_a_failed_child_counts_as_the_lowest_reward_told() -> None:
    agent = learner()
    agent.tell(0, candidate(0, 0), 0.25)
    agent.tell(1, candidate(0, 1, 1), None)
    assert agent.q[("kind", "second")][1] == 0.375  # 0.5 · 0.5 + 0.5 · 0.25


def test_a_failed_child_counts_as_the_lowest_reward_and_not_at_all_before_there_is_one() -> None:
    agent = learner()
    agent.tell(0, candidate(0, 1, 0), None)
    assert agent.memory == []
    agent.tell(1, candidate(0, 0), -2.0)
    agent.tell(2, candidate(0, 1, 1), None)
    assert agent.q[("kind", "second")][1] == -0.75  # 0.5 * 0.5 + 0.5 * -2.0


def test_a_failed_child_is_not_replayed() -> None:
    agent = learner()
    agent.tell(0, candidate(0, 0), 0.25)
    agent.tell(1, candidate(0, 1, 1), None)
    assert [reward for _, reward in agent.memory] == [0.25]


def test_at_the_end_one_answer_in_ten_is_drawn_by_lot() -> None:
    agent = learner(replays=20)
    for trial, answers in enumerate([(1, 1, 0), (0, 0), (1, 0), (1, 1, 1)]):
        agent.tell(trial, candidate(*answers), 0.9 if answers == (1, 1, 0) else 0.1)
    asked = Counter(agent.ask(trial, []).answers for trial in range(100, 1100))
    assert asked[1, 1, 0] == pytest.approx(1000 * 0.95**3, abs=50)  # ε = 0.1, of which half is the greedy answer too


def test_it_prefers_the_path_of_the_highest_values_and_says_them() -> None:
    agent = learner(rate=0.5, replays=0)
    agent.tell(0, candidate(1, 0), 1.0)
    what, preferred, values = agent.prefers(0)
    assert what == "Q-value"
    assert preferred.answers == (1, 0)
    assert values == [{0: 0.5, 1: 0.625}, {0: 0.75, 1: 0.5}]  # as in the first test: 0.5 * 0.5 + 0.5 * 1, then its best


def test_at_the_beginning_answers_are_uniform_whatever_was_told() -> None:
    agent = learner(replays=20)
    agent.tell(0, candidate(0, 0), 1.0)
    agent.length = 1_000_000
    asked = Counter(agent.ask(trial, []).answers for trial in range(1000))
    assert asked[0, 0] == pytest.approx(250, abs=50)


def test_equal_values_are_answered_by_lot() -> None:
    agent = learner()
    assert len({agent.ask(trial, []).answers for trial in range(1000, 1050)}) == 6


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(UserError, match="q-learning: found schedule=slow, expected one of metaqnn, short"):
        learner(schedule="slow")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": 2.0}, "found rate=2.0, expected 0 to 1"),
        ({"trace": -0.1}, "found trace=-0.1, expected 0 to 1"),
        ({"replays": -1}, "found replays=-1, expected 0 to"),
    ],
)
def test_a_parameter_out_of_range_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=f"q-learning: {message}"):
        learner(**wrong)
