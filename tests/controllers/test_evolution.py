"""Regularised evolution: who lives, who dies, and what a mutation changes."""

import random

import pytest

from controllers.evolution import Evolution, mutate
from nas.blocks import Block
from nas.errors import UserError
from nas.network import Network
from nas.space import Candidate, Choice, Pick, Space


class Widths(Space):
    """One to three widths that never shrink: 4 + 10 + 20 networks."""

    depth = Choice(1, 2, 3)
    width = Choice(8, 16, 24, 32)

    def build(self, pick: Pick) -> Network:
        width, blocks = 0, []
        for _ in range(pick(self.depth)):
            width = pick(self.width, among=[w for w in self.width.options if w >= width])
            blocks.append(Block("identity", width))
        return Network(8, tuple(blocks))


def candidate(*answers: int) -> Candidate:
    return Widths().replay(answers)


def told(controller: Evolution, *members: tuple[Candidate, float | None]) -> Evolution:
    for trial, (member, reward) in enumerate(members):
        controller.tell(trial, member, reward)
    return controller


def living(controller: Evolution) -> list[tuple[float, tuple[int, ...]]]:
    return [(reward, member.answers) for reward, member in controller.population]


SINGLE = [candidate(0, width) for width in range(4)]


def test_the_oldest_dies_however_good_it_was() -> None:
    controller = Evolution(Widths(), seed=0, length=0, population=2, sample=1)
    told(controller, (SINGLE[0], 0.9), (SINGLE[1], 0.1), (SINGLE[2], 0.2))
    assert living(controller) == [(0.1, (0, 1)), (0.2, (0, 2))]


def test_failures_and_repeats_do_not_enter_but_what_was_trained_after_a_failure_does() -> None:
    controller = Evolution(Widths(), seed=0, length=0, population=9, sample=1)
    told(controller, (SINGLE[0], 0.5), (SINGLE[1], None), (SINGLE[0], 0.5), (SINGLE[1], 0.5), (SINGLE[2], 0.25))
    assert living(controller) == [(0.5, (0, 0)), (0.5, (0, 1)), (0.25, (0, 2))]


def test_answers_are_random_until_the_population_is_full() -> None:
    controller = Evolution(Widths(), seed=3, length=0, population=3, sample=1)
    told(controller, (SINGLE[0], 0.5), (SINGLE[1], 0.5))
    for trial in range(20):
        assert controller.ask(trial, []) == Widths().sample(random.Random(f"3 {trial}"), trial)


def test_the_parent_is_the_fittest_of_the_sample() -> None:
    controller = Evolution(Widths(), seed=0, length=0, population=3, sample=3)
    told(controller, (candidate(2, 0, 0, 0), 0.1), (candidate(0, 3), 0.9), (candidate(2, 1, 1, 1), 0.5))
    for trial in range(3, 40):
        child = controller.ask(trial, [])
        assert child.answers[:2] in {(0, 0), (0, 1), (0, 2), (1, 3), (2, 3)}  # one answer away from (0, 3)


def test_with_a_sample_of_one_every_member_is_a_parent() -> None:
    controller = Evolution(Widths(), seed=0, length=0, population=2, sample=1)
    told(controller, (candidate(0, 3), 0.9), (candidate(2, 0, 0, 0), 0.1))
    children = [controller.ask(trial, []).answers for trial in range(2, 60)]
    assert (0, 1) in children  # of the first alone
    assert (2, 0, 0, 2) in children  # of the second alone


def test_a_network_seen_or_under_way_is_drawn_again() -> None:
    controller = Evolution(Widths(), seed=0, length=0, population=1, sample=1)
    told(controller, (SINGLE[1], None), (SINGLE[2], None), (SINGLE[0], 0.5))
    pending = [candidate(0, 3), *(candidate(1, 0, width) for width in range(4))]
    for trial in range(3, 40):
        assert len(controller.ask(trial, pending).answers) == 4  # all that is new is two blocks deeper


def test_where_nothing_is_new_it_repeats() -> None:
    class Two(Space):
        width = Choice(8, 16)

        def build(self, pick: Pick) -> Network:
            return Network(8, (Block("identity", pick(self.width)),))

    first, second = Two().candidates()
    controller = told(Evolution(Two(), seed=0, length=0, population=2, sample=2), (first, 0.9), (second, 0.1))
    assert controller.ask(2, []) == second


def test_a_mutation_changes_one_answer_where_the_rest_stays_legal() -> None:
    class Free(Space):
        width = tuple(Choice(8, 16, 24, name=f"width {place}") for place in range(4))

        def build(self, pick: Pick) -> Network:
            return Network(8, tuple(Block("identity", pick(width)) for width in self.width))

    parent = Free().replay((0, 1, 2, 0))
    children = [mutate(Free(), parent, random.Random(seed)).answers for seed in range(200)]
    changes = {
        tuple((place, new) for place, (old, new) in enumerate(zip(parent.answers, child, strict=True)) if old != new)
        for child in children
    }
    assert changes == {((place, new),) for place in range(4) for new in range(3) if new != parent.answers[place]}


def test_a_mutation_answers_anew_what_is_no_longer_legal() -> None:
    for seed in range(50):
        child = mutate(Widths(), candidate(2, 0, 1, 1), random.Random(seed))
        assert child == Widths().replay(child.answers)
        assert child.answers != (2, 0, 1, 1)


def test_a_network_without_anything_to_decide_mutates_into_itself() -> None:
    class Fixed(Space):
        width = Choice(8, 16)

        def build(self, pick: Pick) -> Network:
            return Network(8, (Block("identity", pick(self.width, among=[16])),))

    (only,) = Fixed().candidates()
    assert mutate(Fixed(), only, random.Random(0)) == only


@pytest.mark.parametrize(("population", "sample"), [(5, 6), (5, 0), (0, 1)])
def test_a_sample_larger_than_the_population_is_refused(population: int, sample: int) -> None:
    message = f"evolution: found sample={sample}, expected 1 to population={population}"
    with pytest.raises(UserError, match=message):
        Evolution(Widths(), seed=0, length=0, population=population, sample=sample)
