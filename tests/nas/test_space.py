"""Spaces: what is asked, what is answered, what is said when either goes wrong."""

import copy
import pickle
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from nas.blocks import Block
from nas.errors import UserError
from nas.network import Images, Network
from nas.reward import Bounds, Result
from nas.space import Candidate, Choice, Count, Limit, Pick, Question, Space


class Small(Space):
    """One or two blocks, widths never shrinking: 3 + (3 + 2 + 1) candidates."""

    depth = Choice(1, 2)
    width = Choice(16, 32, 64)

    def build(self, pick: Pick) -> Network:
        width, blocks = 0, []
        for _ in range(pick(self.depth)):
            width = pick(self.width, among=[w for w in self.width.options if w >= width])
            blocks.append(Block("conv", width))
        return Network(8, tuple(blocks))


class Widths(Space):
    """Three networks of one convolution."""

    width = Choice(1, 2, 3)

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width), 1),))


@dataclass(frozen=True)
class Text:
    """The least that `build` may return."""

    key: str
    input_size: int = 1

    def module(self, images: Images) -> None:
        raise NotImplementedError


def space(build: Callable[[Pick], object]) -> Space:
    """A space of one function, whose child is the text of what that returns."""

    class Written(Space):
        def build(self, pick: Pick) -> Text:
            return Text(repr(build(pick)))

    return Written()


def first(question: Question) -> int:
    return question.legal[0]


def last(question: Question) -> int:
    return question.legal[-1]


AB = Choice("a", "b", name="letter")


def shrinking() -> None:
    """An option."""


def test_options_are_written_alike_in_every_process() -> None:
    assert Choice(1, "a", None).written == ["1", "'a'", "None"]
    assert Choice(shrinking, Choice).written == ["test_space.shrinking", "space.Choice"]
    assert Choice(frozenset("cab"), 1).written == ["{'a', 'b', 'c'}", "1"]


def test_a_walk_asks_and_records_every_question() -> None:
    candidate = Small().walk(lambda question: question.legal[min(1, len(question.legal) - 1)])
    assert candidate.network == Network(8, (Block("conv", 32), Block("conv", 64)))
    assert candidate.answers == (1, 1, 2)
    assert [q.choice.name for q in candidate.questions] == ["depth", "width", "width"]
    assert [q.legal for q in candidate.questions] == [(0, 1), (0, 1, 2), (1, 2)]
    assert [q.occurrence for q in candidate.questions] == [0, 0, 1]


def test_a_question_with_one_legal_option_is_recorded_but_not_put() -> None:
    put = []

    def answer(question: Question) -> int:
        put.append(question)
        return question.legal[-1]

    candidate = Small().walk(answer)
    assert candidate.answers == (1, 2, 2)
    assert len(put) == 2
    assert [q.open for q in candidate.questions] == [True, True, False]
    assert candidate.decisions == [(put[0], 1), (put[1], 2)]


def test_replay_builds_the_candidate_again() -> None:
    candidate = Small().walk(last)
    assert Small().replay(candidate.answers) == candidate


def test_a_space_without_questions_has_one_candidate() -> None:
    fixed = space(lambda pick: "fixed")
    assert fixed.replay(()) == Candidate(Text("'fixed'"), (), ())
    assert fixed.count() == Count(1, exact=True)


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ((1, 0), "found question 3, expected the 2 questions"),
        ((0, 1, 1), r"found the answers \[0, 1\], expected the 3 questions"),
        ((1, 2, 1), r"found the answers \[1, 2, 2\], expected the 3 questions"),  # where 2 is the only legal one
    ],
)
def test_a_replay_of_other_questions_is_an_error(answers: tuple[int, ...], found: str) -> None:
    with pytest.raises(
        UserError, match=rf"Small: {found}.*the space has changed since, or build\(\) is not a function"
    ):
        Small().replay(answers)


def test_an_illegal_answer_is_told_the_legal_ones() -> None:
    with pytest.raises(UserError) as error:
        Small().replay((1, 1, 0))
    assert str(error.value) == (
        "width: found answer 0, expected one of 1 (32), 2 (64); "
        "take the answer from question.legal, or allow the option with among= in build()"
    )


def test_without_a_state_it_is_the_answers_so_far() -> None:
    assert [q.state for q in Small().walk(last).questions] == [(), (1,), (1, 2)]


def test_a_space_may_say_what_the_state_is() -> None:
    told = space(lambda pick: [pick(AB, state=n) for n in range(2)])
    assert [q.state for q in told.walk(first).questions] == [0, 1]


def test_candidates_come_once_each_in_order() -> None:
    answers = [candidate.answers for candidate in Small().candidates()]
    assert answers == [(0, 0), (0, 1), (0, 2), (1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 1), (1, 1, 2), (1, 2, 2)]
    assert len({candidate.key for candidate in Small().candidates()}) == 9


def test_a_small_space_is_counted() -> None:
    count = Small().count()
    assert count == Count(9, exact=True)
    assert str(count) == "9"


@pytest.mark.parametrize(("letters", "text"), [(40, "≈ 1.1e12"), (17, "≈ 1.3e5")])
def test_a_large_space_is_estimated(letters: int, text: str) -> None:
    count = space(lambda pick: [pick(AB, state=0) for _ in range(letters)]).count()
    assert count == Count(2**letters, exact=False)  # exactly, as every walk meets as many options
    assert str(count) == text


def test_an_estimate_of_uneven_branches_is_near_the_number() -> None:
    def build(pick: Pick) -> list[str]:
        return [pick(AB, state=0) for _ in range(24 if pick(AB) == "a" else 4)]

    assert space(build).count().number == pytest.approx(2**24 + 2**4, rel=0.1)


def test_samples_of_one_seed_are_one() -> None:
    assert Small().sample(random.Random(5)) == Small().sample(random.Random(5))
    assert len({Small().sample(random.Random(seed)).key for seed in range(100)}) == 9


def test_revising_keeps_what_is_still_legal() -> None:
    candidate = Small().replay((1, 0, 1))
    rng = random.Random(0)
    assert Small().revise(candidate, {0: 0}, rng).answers == (0, 0)  # less deep, the same width
    assert Small().revise(candidate, {2: 2}, rng).answers == (1, 0, 2)
    assert Small().revise(candidate, {1: 2}, rng).answers == (1, 2, 2)  # 32 is not legal after 64
    assert Small().revise(candidate, {}, rng) == candidate


def test_revising_answers_new_questions_at_random() -> None:
    shallow = Small().replay((0, 1))
    revised = {Small().revise(shallow, {0: 1}, random.Random(seed)).answers for seed in range(20)}
    assert revised == {(1, 1, 1), (1, 1, 2)}


def test_links_are_yes_or_no_for_each_earlier_anchor() -> None:
    def build(pick: Pick) -> list[tuple[bool, ...]]:
        return [pick.links(range(pick.anchor())) for _ in range(3)]

    candidate = space(build).walk(lambda question: int(question.link == 1))
    assert candidate.key == "[(), (False,), (False, True)]"
    assert [(q.choice.name, q.anchors, q.link) for q in candidate.questions] == [
        ("link", 2, 0),
        ("link", 3, 0),
        ("link", 3, 1),
    ]
    assert space(build).count() == Count(8, exact=True)


def test_the_state_of_a_link_holds_its_anchor() -> None:
    linked = space(lambda pick: [pick.anchor(), pick.anchor(), pick.links((0, 1), state="here")])
    assert [q.state for q in linked.walk(first).questions] == [("here", 0), ("here", 1)]


def test_a_limit_grows_with_the_trials() -> None:
    limit = Limit(6, 2, 1600)
    assert [limit.at(trial) for trial in (0, 1599, 1600, 3200)] == [6, 6, 8, 10]
    assert Limit(4).at(1000) == 4


def test_options_above_a_limit_are_not_offered() -> None:
    limited = Small().on(Images(8, 1, 10), {"width": Limit(16, 16, 10)})
    assert [limited.walk(last, trial).answers for trial in (0, 10, 30)] == [(1, 0, 0), (1, 1, 1), (1, 2, 2)]
    assert limited.walk(last).answers == (1, 2, 2)  # no trial, no limit
    assert Small().limits == {}


def test_a_limit_under_everything_legal_leaves_the_smallest() -> None:
    limited = Small().on(Images(8, 1, 10), {"width": Limit(1)})
    assert limited.walk(last, 0).answers == (1, 0, 0)


def test_samples_are_within_bounds_and_of_all_that_are() -> None:
    """Each channel has its weight, two of its norm and ten to the classes, which have ten: 23, 36, 49."""
    bounded = Widths().on(Images(8, 1, 10), bounds=Bounds(max_params=36))
    samples = [bounded.sample(random.Random(seed)) for seed in range(50)]
    assert {candidate.answers for candidate in samples} == {(0,), (1,)}
    assert [bounded.is_within(candidate) for candidate in bounded.candidates()] == [True, True, False]
    assert bounded.priced(Network(8, (Block("conv", 3, 1),))) == (
        Result(params=49, madds=3 * 64 + 30),
        "found 49 parameters, expected at most 36, as --max-params says",
    )
    assert bounded.count() == (3, True)  # of all that it has


def test_a_draw_beyond_bounds_is_drawn_again_so_many_times() -> None:
    bounded = Widths().on(Images(8, 1, 10), bounds=Bounds(max_params=1))
    drawn = list(bounded.candidates())
    left = iter(drawn)
    assert bounded.first_within(lambda: next(left), 3) is drawn[2]
    assert Widths().on(Images(8, 1, 10)).first_within(iter(drawn).__next__) is drawn[0]


def test_a_network_that_cannot_be_built_is_within_no_bounds() -> None:
    drawn = Widths().walk(first)
    unsound = Candidate(Network(8, (Block("conv", 0),)), drawn.questions, drawn.answers)
    assert not Widths().on(Images(8, 1, 10), bounds=Bounds(max_params=10**9)).is_within(unsound)


def test_answers_given_under_a_limit_replay_without_it() -> None:
    limited = Small().on(Images(8, 1, 10), {"depth": Limit(1), "width": Limit(32)})
    candidate = limited.walk(last, 0)
    assert candidate.answers == (0, 1)
    assert Small().replay(candidate.answers).network == candidate.network


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("heads", "limit on heads: found no such choice, expected one of letter, width, mixed, depth"),
        (
            "letter",
            "limit on letter: found the option 'a', expected a choice of numbers; limit one of width, depth$",
        ),
    ],
)
def test_a_limit_on_what_is_no_number_is_an_error(name: str, message: str) -> None:
    class Lettered(Space):
        letter = AB
        width = Choice(16, 32)
        mixed = Choice(1, "all")

        def __init__(self) -> None:
            self.depth = Choice(1, 2)

    with pytest.raises(UserError, match=message):
        Lettered().on(Images(8, 1, 10), {name: Limit(1)})


def test_a_limit_on_a_space_without_numbers_is_to_be_left_out() -> None:
    class Lettered(Space):
        letter = AB

    with pytest.raises(UserError, match=r"expected a choice of numbers; leave the limit out: this space has none$"):
        Lettered().on(Images(8, 1, 10), {"letter": Limit(1)})


def test_a_space_is_written_with_what_its_constructor_was_given_whatever_it_kept() -> None:
    class Held(Space):
        def __init__(self, depth: int = 4, widths: tuple[int, ...] = (16, 32), *, name: str = "a") -> None:
            self.depth = Choice(*range(depth))
            self.widths = Choice(*widths)
            self.most = 10 * depth
            self.name = name

    assert repr(Held(3)) == "Held(most=30, name=a, depth=3)"
    on_images = Held(name="b").on(Images(8, 1, 10))
    for same in (on_images, copy.deepcopy(on_images), pickle.loads(pickle.dumps(Kept(2)))):
        assert repr(same) in ("Held(most=40, name=b, depth=4)", "Kept(depth=2)")
    assert repr(Small()) == "Small()"


class Kept(Space):
    """Its one parameter is kept as a choice."""

    def __init__(self, depth: int) -> None:
        self.depth = Choice(*range(depth))


def test_a_space_without_a_constructor_takes_nothing() -> None:
    with pytest.raises(TypeError):
        Small(3)  # type: ignore[call-arg]


def test_choices_are_named_by_the_attributes_that_hold_them() -> None:
    class Held(Space):
        alone = Choice(1, 2)
        named = Choice(1, 2, name="other")
        several = (Choice(1, 2, name="x"), Choice(1, 2, name="y"))

        def __init__(self) -> None:
            self.own = Choice(1, 2)

    assert list(Held().choices) == ["alone", "other", "x", "y", "own"]


def test_a_space_knows_the_images_it_is_on() -> None:
    small = Small()
    assert small.on(Images(28, 1, 7)).images == Images(28, 1, 7)
    assert small.images == Images(32, 3, 10)


def test_a_choice_without_options_is_an_error() -> None:
    with pytest.raises(UserError, match=r"found no options, expected at least one, as in Choice\(1, 3, 5\)"):
        Choice()


def test_an_option_given_twice_is_an_error() -> None:
    with pytest.raises(UserError, match=r"Choice\(1, 3, 1\): found 1 more than once, expected each option once"):
        Choice(1, 3, 1)


def test_among_with_a_strange_option_is_an_error() -> None:
    with pytest.raises(UserError, match=r"letter: found 'c' in among=, expected some of \['a', 'b'\]; filter the"):
        space(lambda pick: pick(AB, among=["a", "c"])).walk(first)


def test_options_without_a_hash_may_stand_in_the_choice_or_in_among_alone() -> None:
    mixed: Choice[object] = Choice((1,), [2], name="mixed")
    assert space(lambda pick: pick(mixed, among=[(1,)])).walk(last).answers == (0,)
    assert space(lambda pick: pick(mixed, among=[(1,), [2]])).walk(last).answers == (1,)
    with pytest.raises(UserError, match=r"letter: found \['c'\] in among=, expected some of"):
        space(lambda pick: pick(Choice[object]("a", name="letter"), among=[["c"]])).walk(first)


def test_among_without_an_option_is_an_error() -> None:
    with pytest.raises(UserError, match=r"letter: found no option in among=, expected at least one of \['a', 'b'\]"):
        space(lambda pick: pick(AB, among=[])).walk(first)


def test_a_build_that_never_ends_is_an_error() -> None:
    def build(pick: Pick) -> None:
        while True:
            pick(AB, state=0)

    with pytest.raises(UserError, match="letter: found more than 3000 questions in one build, expected it to end"):
        space(build).walk(first)


def test_a_build_that_raises_is_shown_with_the_answers_before() -> None:
    def build(pick: Pick) -> int:
        return {"a": 1}[pick(AB)]

    with pytest.raises(UserError, match=r"Written.build: found KeyError: 'b' \(test_space.py, line \d+\), expected a "):
        space(build).walk(last)
    with pytest.raises(UserError, match=r"expected a network; it came after letter 'b'$"):
        space(build).walk(last)


def test_a_controllers_own_exception_is_not_blamed_on_the_space() -> None:
    def answer(question: Question) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Small().walk(answer)


def test_answers_of_numpys_integers_are_recorded_as_pythons() -> None:
    candidate = space(lambda pick: Network(pick(Choice(8, 16, name="size")), ())).walk(lambda _: np.int64(1))  # type: ignore[arg-type, return-value]
    assert candidate.answers == (1,)
    assert type(candidate.answers[0]) is int
