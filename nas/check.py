"""Does a space keep the rules? The contract, as `nas check`, the start of every search and the tests apply it.

What else a user may bring, a controller, a reward, a rule to stop by, is tried out here too, before a search begins.
"""

from __future__ import annotations

import faulthandler
import inspect
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any, NamedTuple

from nas.errors import UserError, where
from nas.network import Network
from nas.reward import COSTS, LARGEST, Bounds, Result, Reward, bounded, rewarded
from nas.space import LINK, Candidate, Count, Space, shorten
from nas.stop import Rule, bar_of

WALKS = 50
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
LONGEST_WALK = 10.0  # seconds; a build that takes longer is taken for one that never ends
DEAF = 30.0  # seconds more until a process that does not hear of its deadline is ended
SAMPLED = (200, 2_000)  # random networks whose costs are looked at, and as many if few of the first are within bounds
FEW = 10
LONGEST = 60.0  # seconds, of all these walks, of counting, of building a network and passing it two images


class Report(NamedTuple):
    """A sound space, seen from outside."""

    examples: list[Candidate]
    size: Count | None  # None where counting takes long
    questions: tuple[int, int]  # the fewest and the most that leave something to decide
    advice: list[str]  # what is not wrong, but worth a thought


def check(space: Space, seed: int = 0) -> Report:
    """Walk a space, build some of its networks, and count it; raises UserError, in plain words, at what is wrong."""
    examples = sound(space, seed)
    name = type(space).__name__
    with deadline(LONGEST, f"{name}: building networks"):
        for candidate in examples[:3]:
            _builds(space, candidate)
    open_questions = [len(candidate.decisions) for candidate in examples]
    return Report(examples, counted(space), (min(open_questions), max(open_questions)), list(_advice(space, examples)))


def sound(space: Space, seed: int = 0, longest: float | None = None) -> list[Candidate]:
    """Some random candidates, once it is seen that they end, replay, and describe networks; needs no torch.

    longest: seconds that a build may take, LONGEST_WALK unless given.
    Raises UserError at the first that does not.
    """
    what = f"{type(space).__name__}.build"
    rng = random.Random(seed)
    examples: list[Candidate] = []
    begun = time.monotonic()
    with deadline(longest or LONGEST_WALK, what), _told(what, "what can be asked and written down"):
        _holds_its_choices(space)
    for _ in range(WALKS):
        with deadline(longest or LONGEST_WALK, what), _told(what, "what can be asked and written down"):
            examples.append(_sampled(space, rng))
        if time.monotonic() - begun > LONGEST:
            raise UserError(
                f"{what}: found {len(examples)} networks in {LONGEST:g} s, expected {WALKS}; a search builds many for "
                "each trial: make it faster"
            )
    with deadline(longest or LONGEST_WALK, what), _told(what, "what can be asked and written down"):
        for candidate in examples[:10]:  # again, for a build may turn after some time
            _replays(space, candidate)
    return examples


def answers(make: Callable[..., Any], space: Space, seed: int, length: int, parameters: Mapping[str, Any]) -> Any:
    """A controller that has answered three trials, to be thrown away; raises UserError, in plain words, at faults."""
    name = getattr(make, "__name__", repr(make))
    with deadline(LONGEST, name), _told(name, "a class made as Mine(space, seed, length, ...), with ask and tell"):
        controller = make(space, seed, length, **parameters)
        for trial, reward in enumerate((0.5, None, 0.6)):
            candidate = controller.ask(trial, [])
            if not (isinstance(candidate, Candidate) and all(type(answer) is int for answer in candidate.answers)):
                raise UserError(
                    f"{name}.ask: found {_shown(candidate)}, expected a candidate, as space.walk(answer, trial) gives"
                )
            if space.replay(candidate.answers, trial).key != candidate.key:
                raise UserError(
                    f"{name}.ask: found a network that its answers {list(candidate.answers)} do not lead to, expected "
                    "a candidate as space.walk(answer, trial) gives it"
                )
            controller.tell(trial, candidate, reward)
    return controller


def judges(reward: Reward, rule: Rule | None, epochs: int, classes: int, measured: bool = False) -> None:
    """Try a reward, and a rule to stop by, on made-up results; raises UserError at what is wrong.

    measured: whether results have latency and peak memory.
    """
    matrix = ((1,) * classes,) * classes
    results = [
        Result((0.1 * child,) * epochs, (1.0,) * epochs, 1_000, 1_000_000, 1.0, 0, matrix, "float32")
        for child in range(1, 9)
    ]
    if measured:
        spread = (1.0, 0.9, 1.1)
        results = [replace(one, latency_ms=spread, batch_latency_ms=spread, peak_memory=10_000) for one in results]
    with deadline(LONGEST, "reward"):
        _gives_numbers(reward, results)
    if rule is not None:
        with deadline(LONGEST, f"{type(rule).__name__}.bar"):
            bar_of(rule, results)


def _gives_numbers(reward: Reward, results: Sequence[Result]) -> None:
    """Raise UserError for a reward that raises at the first result, or gives no finite number for any."""
    found = []
    for result in results:
        found.append(rewarded(reward, result))
        if abs(found[-1]) <= LARGEST:
            return
    name = getattr(reward, "__name__", repr(reward))
    raise UserError(
        f"reward {name}: found {found[0]} for each of {len(results)} made-up results, expected a number within "
        f"±{LARGEST:g}; mend the reward"
    )


def affordable(space: Space, bounds: Bounds, length: int) -> float | None:
    """The share of random networks that bounds on parameters and multiply-adds let pass; None if that is not known.

    length: trials of the search, over which its limits grow.
    Raises UserError if none of many does, with what the smallest one has.
    """
    rng = random.Random(0)
    begun, passed, costs = time.monotonic(), 0, list[Result]()
    most = SAMPLED[0]
    while len(costs) < most:
        network = space.sample(rng, len(costs) % SAMPLED[0] * length // SAMPLED[0]).network
        known = network.costs(space.images) if isinstance(network, Network) else None
        if known is None or time.monotonic() - begun > LONGEST_WALK:
            break
        costs.append(Result(params=known.params, madds=known.madds))
        passed += not bounds.refusal(costs[-1])
        if len(costs) == SAMPLED[0] and passed < FEW:
            most = SAMPLED[1]
    if len(costs) == SAMPLED[1] and not passed:
        raise UserError(_out_of_reach(bounds, costs))
    return passed / len(costs) if len(costs) >= SAMPLED[0] else None


def _out_of_reach(bounds: Bounds, costs: list[Result]) -> str:
    """What to say where no network is within the bounds; the lowest and the tenth part's cost show where they are."""
    said = []
    for name in bounds.given:
        cost = bounded(name)
        each = sorted(found for one in costs if (found := one.cost(cost)) is not None)
        if each:  # a latency is not known before it is measured
            said.append(f"{each[0]:,} {COSTS[cost]} at least, and {each[len(each) // 10]:,} in the lowest tenth")
    return (
        f"{bounds}: found none of {len(costs):,} random networks within that, expected some; they have "
        f"{'; '.join(said)}: raise the bound, or offer smaller networks"
    )


def counted(space: Space) -> Count | None:
    """How many networks it has; None where that would take long."""
    with suppress(UserError), deadline(LONGEST_WALK, "counting"):
        return space.count()
    return None


class _LateError(BaseException):
    """No Exception, so that a user's `except Exception` in an endless loop does not keep it."""


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Raise UserError in what runs longer than this; only the main thread can be interrupted so.

    One call into C that never comes back, as `sum(itertools.repeat(0))`, cannot be: there the process ends DEAF seconds
    later, and says in which line it was.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    over = list[bool]()

    def late(_: int, __: FrameType | None) -> None:
        if not over:  # Python may hear of an alarm a little after it came
            raise _LateError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)  # again after each further second, where it is caught
    faulthandler.dump_traceback_later(seconds + DEAF, exit=True, file=2)
    try:
        try:
            yield
        finally:
            over.append(True)
    except _LateError:
        raise UserError(
            f"{what}: found no end after {seconds:g} s, expected one; look for a loop that never ends"
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _told(what: str, expected: str) -> Iterator[None]:
    """Raise UserError for whatever a user's own code raises."""
    try:
        yield
    except (UserError, KeyboardInterrupt, _LateError):
        raise
    except BaseException as error:
        raise UserError(f"{what}: found {type(error).__name__}: {error} {where(error)}, expected {expected}") from error


def _sampled(space: Space, rng: random.Random) -> Candidate:
    """A random candidate that keeps the rules."""
    candidate = space.sample(rng)
    _asks_its_own(space, candidate)
    if isinstance(candidate.network, Network):
        _has_costs(space, candidate)
        _names_its_blocks(space, candidate.network)
    _replays(space, candidate)
    return candidate


def _holds_its_choices(space: Space) -> None:
    """One choice a name, and all that a ledger's header says of them the same in every process."""
    name = type(space).__name__
    for choice in space.held():
        other = space.choices[choice.name]
        if other is not choice and other.options != choice.options:
            raise UserError(
                f"{name}: found two choices named {choice.name}, {_shown(choice)} and {_shown(other)}, expected one a "
                "name; leave name= out, or give each its own"
            )
        addresses = [option for option in choice.written if ADDRESS.search(option)]
        if addresses:
            raise UserError(
                f"{name}.{choice.name}: found the option {shorten(addresses[0])}, expected one that is written alike "
                "in every process, so that a search can go on in another; give its class a __repr__"
            )
    first, second = repr(space), repr(space)
    if first != second:
        raise UserError(
            f"{name}.__repr__: found two texts, {shorten(first, 100)} and {shorten(second, 100)}, expected one, for a "
            "search is known by it; leave counters and clocks out"
        )


def _replays(space: Space, candidate: Candidate) -> None:
    name = type(space).__name__
    if inspect.iscoroutine(candidate.network):
        candidate.network.close()  # or Python warns that nobody awaited it
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
            f"{type(space).__name__}.build: found a network that cannot be built ({error}), expected only "
            f"networks that can; it came of the answers {list(candidate.answers)}: mend its blocks or offer others"
        ) from None


def _builds(space: Space, candidate: Candidate) -> None:
    """Build the torch module and pass two images."""
    import torch

    name, network, images = type(space).__name__, candidate.network, space.images
    if _is_large(space, candidate):
        return
    shape = (2, images.channels, network.input_size, network.input_size)
    came = f"the network came of the answers {shorten(str(list(candidate.answers)))}"
    with _told(name, f"a module that takes {shape}; {came}"):
        out = network.module(images).eval()(torch.zeros(shape))
    found = f"an output of shape {tuple(out.shape)}" if isinstance(out, torch.Tensor) else f"the output {_shown(out)}"
    if found != f"an output of shape {(2, images.classes)}":
        raise UserError(f"{name}: found {found}, expected a tensor of shape {(2, images.classes)}; {came}")


def _is_large(space: Space, candidate: Candidate) -> bool:
    """Whether to build a network and pass it images may take more memory or time than there is."""
    costs = candidate.network.costs(space.images) if isinstance(candidate.network, Network) else None
    return costs is not None and (costs.params > 10**9 or costs.madds > 10**12)


def _advice(space: Space, examples: list[Candidate]) -> Iterator[str]:
    asked = {(q.choice.name, option) for c in examples for q in c.questions for option in q.legal}
    for name, choice in space.choices.items():
        never = [choice.options[i] for i in choice.every if (name, i) not in asked]
        if never:
            yield f"{name}: the options {never} were not offered in {len(examples)} walks; leave out what can never be"
    if any(_is_large(space, candidate) for candidate in examples):
        yield "some networks have over 10^9 parameters or 10^12 multiply-adds an image, and were not built here"
    longest = max(examples, key=lambda candidate: len(candidate.decisions))
    stateless = [q for position, q in enumerate(longest.questions) if q.state == longest.answers[:position]]
    if len(longest.decisions) > 20 and len(stateless) == len(longest.questions):
        yield "over twenty questions and no state=: q-learning then remembers all answers so far, and learns slowly"


def _shown(thing: object) -> str:
    return shorten(repr(thing), 100)
