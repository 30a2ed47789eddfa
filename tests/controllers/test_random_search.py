"""Random search: uniform answers, and nothing learnt."""

from collections import Counter

from controllers.random_search import RandomSearch
from nas.blocks import Block
from nas.network import Images, Network
from nas.space import Choice, Limit, Pick, Space


class Uneven(Space):
    """One network without a second question, two with one."""

    first = Choice("stop", "go")
    second = Choice(1, 2)

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("identity", pick(self.second)),) if pick(self.first) == "go" else ())


def test_every_answer_is_equally_likely() -> None:
    controller = RandomSearch(Uneven(), seed=0, length=0)
    counts = Counter(controller.ask(trial, []).answers for trial in range(2000))
    assert 920 < counts[(0,)] < 1080  # one half, within 3.6 standard deviations of √(2000 / 4) = 22
    assert 430 < counts[(1, 0)] < 570  # a quarter, likewise of √(2000 · 3 / 16) = 19
    assert 430 < counts[(1, 1)] < 570


def test_a_trial_is_a_function_of_seed_and_number() -> None:
    asked = [[RandomSearch(Uneven(), seed, 0).ask(trial, []).answers for trial in range(50)] for seed in (1, 1, 2)]
    assert asked[0] == asked[1] != asked[2]


def test_nothing_told_changes_what_is_asked() -> None:
    controller = RandomSearch(Uneven(), seed=0, length=0)
    before = controller.ask(7, [])
    controller.tell(0, before, 1.0)
    controller.tell(1, before, None)
    assert controller.ask(7, [before]) == before


def test_limits_are_kept() -> None:
    limited = Uneven().on(Images(8, 1, 10), {"second": Limit(1, 1, 100)})
    controller = RandomSearch(limited, seed=0, length=0)
    assert {controller.ask(trial, []).answers for trial in range(100)} == {(0,), (1, 0)}
    assert {controller.ask(trial, []).answers for trial in range(100, 200)} == {(0,), (1, 0), (1, 1)}
