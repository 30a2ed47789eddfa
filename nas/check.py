"""Does a space keep the rules? The contract, as `nas check`, the start of every search and the tests apply it."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from nas.errors import UserError
from nas.network import Network
from nas.space import LINK, Candidate, Count, Space

WALKS = 50
LONGEST_WALK = 10.0  # seconds; a build that takes longer is taken for one that never ends


class Report(NamedTuple):
    """A sound space, seen from outside."""

    examples: list[Candidate]
    size: Count
    questions: tuple[int, int]  # the fewest and the most that leave something to decide
    advice: list[str]  # what is not wrong, but worth a thought


def check(space: Space, seed: int = 0) -> Report:
    """Walk a space, build some of its networks, and count it; raises UserError, in plain words, at what is wrong."""
    examples = sound(space, seed)
    for candidate in examples[:3]:
        _builds(space, candidate)
    open_questions = [len(candidate.decisions) for candidate in examples]
    with deadline(60, f"{type(space).__name__}: counting"):
        count = space.count()
    return Report(examples, count, (min(open_questions), max(open_questions)), list(_advice(space, examples)))


def sound(space: Space, seed: int = 0, longest: float = LONGEST_WALK) -> list[Candidate]:
    """Some random candidates, once it is seen that they end, replay, and describe networks; needs no torch.

    longest: seconds that a build may take.
    Raises UserError at the first that does not.
    """
    name = type(space).__name__
    rng = random.Random(seed)
    examples = []
    for _ in range(WALKS):
        with deadline(longest, f"{name}.build"):
            candidate = space.sample(rng)
            _asks_its_own(space, candidate)
            _replays(space, candidate)
        if isinstance(candidate.network, Network):
            _names_its_blocks(space, candidate.network)
            _has_costs(space, candidate)
        examples.append(candidate)
    return examples


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Raise UserError in what runs longer than this; only the main thread can be interrupted so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(_: int, __: FrameType | None) -> None:
        raise UserError(f"{what}: found no end after {seconds:g} s, expected one; look for a loop that never ends")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _replays(space: Space, candidate: Candidate) -> None:
    name = type(space).__name__
    key = getattr(candidate.network, "key", None)
    if not isinstance(key, str) or not all(hasattr(candidate.network, n) for n in ("module", "input_size")):
        raise UserError(
            f"{name}.build: found {_shown(candidate.network)}, expected a Network, or something with key, input_size "
            "and module(images)"
        )
    again = space.replay(candidate.answers)
    if again.key != key or _asked(again) != _asked(candidate):
        raise UserError(
            f"{name}.build: found two networks for the answers {list(candidate.answers)}, expected one; "
            "let every decision be a pick(), and no random number, clock or counter"
        )


def _asked(candidate: Candidate) -> list[tuple[object, ...]]:
    return [(q.choice.name, q.choice.options, q.legal, q.state) for q in candidate.questions]


def _asks_its_own(space: Space, candidate: Candidate) -> None:
    choices = space.choices
    for question in candidate.questions:
        choice = question.choice
        if choice is not LINK and (choice.name not in choices or choices[choice.name].options != choice.options):
            raise UserError(
                f"{type(space).__name__}.build: found a pick of {choice.name or 'a nameless choice'} {choice!r}, "
                f"expected a choice that the space holds as an attribute ({', '.join(choices) or 'it has none'}); make "
                "it one, as in `width = Choice(16, 32)` in the class, or `self.width = Choice(16, 32)` in __init__"
            )
        try:
            hash(question.state)
        except TypeError:
            raise UserError(
                f"{type(space).__name__}.build: found the state {_shown(question.state)} at {choice.name}, expected "
                "something hashable; make it a tuple of numbers and texts, as in state=(layer, side)"
            ) from None


def _names_its_blocks(space: Space, network: Network) -> None:
    nameless = [block.name for block in network.blocks if "<" in block.name]
    if nameless:
        raise UserError(
            f"{type(space).__name__}.build: found the block function {nameless[0]}, expected one with a name of its "
            "own, for networks are told apart by it; define it at the top of its file"
        )


def _has_costs(space: Space, candidate: Candidate) -> None:
    try:
        candidate.network.costs(space.images)  # type: ignore[attr-defined]
    except UserError as error:
        raise UserError(
            f"{type(space).__name__}.build: found a network that cannot be built ({error}), expected none; "
            f"it came of the answers {list(candidate.answers)}"
        ) from None


def _builds(space: Space, candidate: Candidate) -> None:
    """Build the torch module and pass two images."""
    import torch

    name, network, images = type(space).__name__, candidate.network, space.images
    x = torch.zeros(2, images.channels, network.input_size, network.input_size)
    try:
        out = network.module(images).eval()(x)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{name}: found {type(error).__name__}: {error}, expected a module that takes {tuple(x.shape)}; "
            f"the network came of the answers {list(candidate.answers)}"
        ) from error
    if tuple(out.shape) != (2, images.classes):
        raise UserError(f"{name}: found an output of shape {tuple(out.shape)}, expected (2, {images.classes})")


def _advice(space: Space, examples: list[Candidate]) -> Iterator[str]:
    asked = {(q.choice.name, option) for c in examples for q in c.questions for option in q.legal}
    for name, choice in space.choices.items():
        never = [choice.options[i] for i in choice.every if (name, i) not in asked]
        if never:
            yield f"{name}: the options {never} were not offered in {len(examples)} walks; leave out what can never be"
    longest = max(examples, key=lambda candidate: len(candidate.decisions))
    stateless = [q for position, q in enumerate(longest.questions) if q.state == longest.answers[:position]]
    if len(longest.decisions) > 20 and len(stateless) == len(longest.questions):
        yield "over twenty questions and no state=: q-learning then remembers all answers so far, and learns slowly"


def _shown(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 100 else f"{text[:100]} …"
