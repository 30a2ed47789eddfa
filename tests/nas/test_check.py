"""What is wrong with a space is said in plain words, and a sound one is described."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor, nn

from nas import names
from nas.blocks import Block
from nas.check import affordable, check, deadline, judges, sound
from nas.errors import UserError
from nas.layers import Conv, Layers
from nas.network import Images, Network
from nas.reward import Bounds, Result
from nas.space import Choice, Count, Pick, Space

IMAGES = Images(8, 1, 10)
EIGHT = Block("conv", 8)


def space(build: Callable[[Any, Pick], object], **held: object) -> Space:
    """A space named Odd, of one function and what its instance holds."""
    kind: type[Space] = type("Odd", (Space,), {"build": build, "width": Choice(4, 8)})
    made = kind().on(IMAGES)
    for name, value in held.items():
        setattr(made, name, value)
    return made


def asked_forever(self: Any, pick: Pick) -> Network:
    while True:
        pick(self.width, state=0)


def never_ending(self: Any, pick: Pick) -> Network:
    while True:
        pass


def at_random(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", pick(self.width) + random.randrange(100)),))


def counting(self: Any, pick: Pick) -> Network:
    self.built = getattr(self, "built", 0) + 1
    return Network(8, (EIGHT,) * (self.built % 2))


def without_pixels(self: Any, pick: Pick) -> Network:
    return Network(pick(self.width) - 4, ())


def with_no_width(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", pick(self.width) - 4),))


def with_a_wrong_input(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", pick(self.width), inputs=(3,)),))


def local(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", pick(Choice(4, 8))),))


def named_but_not_held(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", pick(Choice(4, 8, name="size"))),))


def offering_nothing(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", pick(self.width, among=[w for w in self.width.options if w > 8])),))


def offering_what_is_not_there(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", pick(self.width, among=[4, 5])),))


def giving_nothing(self: Any, pick: Pick) -> None:
    pick(self.width)


def giving_text(self: Any, pick: Pick) -> str:
    return "network"


def raising(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", {4: 8}[pick(self.width)]),))


def with_a_state_that_cannot_be_a_key(self: Any, pick: Pick) -> Network:
    return Network(8, (Block("conv", pick(self.width, state=["layer", 1])),))  # type: ignore[arg-type]


def careless(block: Block, channels: int) -> Layers:
    raise ZeroDivisionError("by the block")


def with_a_block_that_raises(self: Any, pick: Pick) -> Network:
    return Network(8, (Block(careless, pick(self.width)),))


UNSOUND = {
    asked_forever: "width: found more than 3000 questions in one build, expected it to end; look for a loop in",
    at_random: r"Odd.build: found two networks for the answers \[\d\], expected one; let every decision be a pick\(\), "
    "and no random number, clock or counter",
    counting: r"Odd.build: found two networks for the answers \[\], expected one",
    without_pixels: r"Odd.build: found a network that cannot be built \(found a network with input size 0, expected at "
    r"least 1 pixel a side\), expected only networks that can; it came of the answers \[0\]",
    with_no_width: r"Odd.build: found a network that cannot be built \(block 1 \(conv\): found Conv\(width=0.*expected",
    with_a_wrong_input: r"found inputs \(3,\), expected numbers from 0 to 0",
    local: r"Odd.build: found a pick of a nameless choice Choice\(4, 8\), expected a choice that the space holds as an "
    r"attribute \(width\); make it one, as in `width = Choice\(16, 32\)` in the class",
    named_but_not_held: r"found a pick of size Choice\(4, 8\), expected a choice that the space holds",
    offering_nothing: r"width: found no option in among=, expected at least one of \[4, 8\]; ask only where",
    offering_what_is_not_there: r"width: found 5 in among=, expected some of \[4, 8\]; filter the choice's own options",
    giving_nothing: r"Odd.build: found None, expected a Network, or something with key, input_size and module",
    giving_text: r"Odd.build: found 'network', expected a Network, or something with key",
    raising: r"Odd.build: found KeyError: 8 \(test_check.py, line \d+\), expected a network; it came after width 8",
    with_a_state_that_cannot_be_a_key: r"found the state \['layer', 1\] at width, expected something hashable",
    with_a_block_that_raises: r"Odd.build: found a network that cannot be built "
    r"\(block 1 \(test_check.careless width=\d\): found ZeroDivisionError: by the block, expected layers\)",
}


@pytest.mark.parametrize(("build", "message"), UNSOUND.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_what_is_unsound_is_said_before_anything_is_trained(build: Callable[[Any, Pick], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sound(space(build))
    with pytest.raises(UserError, match=message):
        check(space(build))


def test_a_build_that_never_ends_is_interrupted() -> None:
    begun = time.monotonic()
    message = r"Odd.build: found no end after 0.2 s, expected one; look for a loop that never ends"
    with pytest.raises(UserError, match=message):
        sound(space(never_ending), longest=0.2)
    assert time.monotonic() - begun < 5


def test_a_space_without_a_build_is_told() -> None:
    with pytest.raises(UserError, match=r"Space.build: found NotImplementedError"):
        sound(Space())


def test_a_space_without_choices_has_one_network_and_is_sound() -> None:
    report = check(space(lambda self, pick: Network(8, (EIGHT,))))
    assert (report.size, report.questions) == (Count(1, exact=True), (0, 0))


# --- modules of one's own ---


class Own:
    """A child that is no Network."""

    input_size = 4

    def __init__(self, key: str, made: Callable[[Images], nn.Module]) -> None:
        self.key, self.made = key, made

    def module(self, images: Images) -> nn.Module:
        return self.made(images)


def unfinished(images: Images) -> nn.Module:
    raise KeyError("module")


def linear(images: Images) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16 * images.channels, images.classes))


class Failing(nn.Module):
    """A module that does not know what to do with images."""

    def forward(self, images: Tensor) -> Tensor:
        raise ValueError("not today")


def test_a_child_of_ones_own_is_sound_if_its_module_is() -> None:
    report = check(space(lambda self, pick: Own(str(pick(self.width)), linear)))
    assert report.size == Count(2, exact=True)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            lambda images: nn.Flatten(),
            r"Odd: found an output of shape \(2, 16\), expected a tensor of shape \(2, 10\)",
        ),
        (
            lambda images: Failing(),
            r"Odd: found ValueError: not today \(test_check.py, line \d+\), expected a module that takes "
            r"\(2, 1, 4, 4\); "
            r"the network came of the answers \[\d\]",
        ),
        (
            unfinished,
            r"Odd: found KeyError: 'module' \(test_check.py, line \d+\), expected a module that takes \(2, 1, 4, 4\)",
        ),
    ],
    ids=["wrong shape", "raises", "cannot be made"],
)
def test_a_module_that_does_not_classify_is_told(made: Callable[[Images], nn.Module], message: str) -> None:
    own = space(lambda self, pick: Own(str(pick(self.width)), made))
    assert len(sound(own)) == 50  # which builds no module
    with pytest.raises(UserError, match=message):
        check(own)


# --- what is sound ---


def test_a_sound_space_is_described() -> None:
    def build(self: Any, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width)),) * pick(self.depth))

    report = check(space(build, depth=Choice(1, 2, 3)))
    assert (report.size, report.questions, report.advice) == (Count(6, exact=True), (2, 2), [])
    assert len(report.examples) == 50
    assert len({candidate.key for candidate in report.examples}) == 6


def test_the_examples_are_those_of_the_seed() -> None:
    def keys(seed: int) -> list[str]:
        return [candidate.key for candidate in sound(names.space("chain"), seed)]

    assert keys(0) == keys(0) != keys(1)


def test_options_that_are_never_offered_are_worth_a_note() -> None:
    def build(self: Any, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width, among=[4])),))

    assert check(space(build)).advice == [
        "width: the options [8] were not offered in 50 walks; leave out what can never be"
    ]


def test_many_questions_without_a_state_are_worth_a_note() -> None:
    def build(self: Any, pick: Pick) -> Network:
        return Network(8, tuple(Block("identity", pick(self.width)) for _ in range(24)))

    def with_state(self: Any, pick: Pick) -> Network:
        return Network(8, tuple(Block("identity", pick(self.width, state=number)) for number in range(24)))

    assert check(space(build)).advice == [
        "over twenty questions and no state=: q-learning then remembers all answers so far, and learns slowly"
    ]
    assert check(space(with_state)).advice == []


@pytest.mark.parametrize("name", names.spaces())
def test_every_built_in_space_is_sound(name: str) -> None:
    assert len(sound(names.space(name).on(IMAGES))) == 50


# --- the deadline ---


def test_a_deadline_that_is_kept_changes_nothing() -> None:
    with deadline(1, "this"):
        pass
    time.sleep(1.1)  # no alarm is left over


def test_a_deadline_is_without_effect_outside_the_main_thread() -> None:
    ended = []

    def work() -> None:
        with deadline(0.01, "this"):
            time.sleep(0.05)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]


def test_block_functions_without_a_name_of_their_own_are_refused() -> None:
    class Nameless(Space):
        width = Choice(4, 8)

        def build(self, pick: Pick) -> Network:
            return Network(8, (Block(lambda block, channels: (Conv(block.width),), pick(self.width)),))

    with pytest.raises(
        UserError, match=r"Nameless.build: found the block function test_check\..*<lambda>, expected one"
    ):
        sound(Nameless())


class Lying:
    """Written by where it lies."""


def test_an_option_that_is_written_otherwise_in_each_process_is_refused() -> None:
    class Placed(Space):
        """Chooses between objects."""

        part = Choice(Lying(), 1)

        def build(self, pick: Pick) -> Network:
            pick(self.part)
            return Network(8, (Block("conv", 4),))

    with pytest.raises(
        UserError, match=r"Placed.part: found the option <.*Lying.* at 0x.*>, expected one that is writ"
    ):
        sound(Placed().on(Images(8, 1, 10)))


# --- bounds ---


def wide(self: Any, pick: Pick) -> Network:
    """A convolution without a kernel: 3 parameters a channel, then a classifier of 10: 62 and 114 in all."""
    return Network(8, (Block("conv", pick(self.width), kernel=1),))


def test_the_share_of_random_networks_within_bounds_is_told() -> None:
    odd = space(wide)
    assert affordable(odd, Bounds(max_params=114), 10) == 1.0
    share = affordable(odd, Bounds(max_params=113), 10)
    assert share is not None
    assert 0.4 < share < 0.6  # one of two


def test_bounds_that_no_network_is_within_are_told_with_what_networks_have() -> None:
    with pytest.raises(UserError) as error:
        affordable(space(wide), Bounds(max_params=61, max_madds=10**9), 10)
    assert str(error.value) == (
        "max_params=61, max_madds=1,000,000,000: found none of 2,000 random networks within that, expected some; they "
        "have 62 parameters at least, and 62 in the lowest tenth; 296 multiply-adds at least, and 296 in the lowest "
        "tenth: raise the bound, or offer smaller networks"
    )
    with pytest.raises(UserError, match="and 62 in the lowest tenth: raise the bound"):
        affordable(space(wide), Bounds(max_params=61, max_latency_ms=5), 10)  # which only a measurement tells


def test_of_networks_without_costs_no_share_is_known() -> None:
    own = Block(lambda block, channels: nn.Conv2d(channels, 4, 1), 4)
    assert affordable(space(lambda self, pick: Network(8, (own,))), Bounds(max_params=1), 10) is None


def test_a_reward_of_latency_is_tried_on_results_that_have_one_only_if_it_is_measured() -> None:
    def fast(result: Result) -> float:
        return 1 / result.latency_ms[0]

    judges(fast, None, 2, 10, measured=True)
    with pytest.raises(UserError, match="reward fast: found IndexError: tuple index out of range"):
        judges(fast, None, 2, 10)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e200])
def test_a_reward_that_is_never_a_finite_number_is_refused_beforehand(value: float) -> None:
    def fails(result: Result) -> float:
        return value

    with pytest.raises(UserError) as error:
        judges(fails, None, 2, 10)
    assert str(error.value) == (
        f"reward fails: found {value} for each of 8 made-up results, expected a number within ±1e+100; mend the reward"
    )
    judges(lambda result: value if result.accuracy[-1] < 0.7 else 1.0, None, 2, 10)  # some children fail
