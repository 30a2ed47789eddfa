"""Local search on two letters of three: each candidate has four neighbours."""

import random

from controllers.local_search import LocalSearch, neighbours
from nas.blocks import Block
from nas.network import Network
from nas.space import Candidate, Choice, Pick, Space


class Two(Space):
    """Nine networks."""

    letter = Choice("a", "b", "c")

    def build(self, pick: Pick) -> Network:
        return Network(8, tuple(Block("identity", extra=(pick(self.letter),)) for _ in range(2)))


def candidate(*answers: int) -> Candidate:
    return Two().replay(answers)


def test_neighbours_differ_in_one_answer() -> None:
    found = [n.answers for n in neighbours(Two(), candidate(0, 1), random.Random(0))]
    assert sorted(found) == [(0, 0), (0, 2), (1, 1), (2, 1)]


def test_it_asks_neighbours_of_the_best_and_moves_to_the_first_better() -> None:
    search = LocalSearch(Two(), 0, 10)
    search.tell(0, candidate(0, 0), 0.5)
    assert search.ask(1, []).answers in [(0, 1), (0, 2), (1, 0), (2, 0)]
    search.tell(1, candidate(0, 1), 0.4)
    assert search.ask(2, []).answers in [(0, 2), (1, 0), (2, 0)]
    search.tell(2, candidate(1, 0), 0.6)
    assert search.ask(3, []).answers in [(1, 1), (1, 2), (2, 0)]


def test_what_is_under_way_is_not_asked_again() -> None:
    search = LocalSearch(Two(), 0, 10)
    search.tell(0, candidate(0, 0), 0.5)
    pending: list[Candidate] = []
    for trial in range(1, 5):
        pending.append(search.ask(trial, pending))
    assert sorted(c.answers for c in pending) == [(0, 1), (0, 2), (1, 0), (2, 0)]


def test_without_a_better_neighbour_it_starts_afresh() -> None:
    search = LocalSearch(Two(), 0, 10)
    for trial, answers in enumerate([(0, 0), (0, 1), (0, 2), (1, 0)]):
        search.tell(trial, candidate(*answers), 1.0 - trial / 10)
    assert search.top == 1.0
    search.tell(4, candidate(2, 0), None)  # the last neighbour failed
    assert search.top is None
    assert len({search.ask(trial, []).answers for trial in range(5, 40)}) == 9
    search.tell(5, candidate(2, 2), 0.1)
    assert search.top == 0.1


def test_a_repeat_changes_nothing() -> None:
    search = LocalSearch(Two(), 0, 10)
    search.tell(0, candidate(0, 0), 0.5)
    search.tell(1, candidate(0, 0), 0.9)
    assert search.top == 0.5
