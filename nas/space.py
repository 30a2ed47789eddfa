"""A space is a program: `build(pick)` writes down one network and asks for every decision it does not make itself.

    class Small(Space):
        depth = Choice(2, 3, 4)
        width = Choice(16, 32, 64)

        def build(self, pick: Pick) -> Network:
            return Network(32, tuple(Block("conv", pick(self.width)) for _ in range(pick(self.depth))))

What is illegal is never offered: plain Python and `among=` are the constraint language.
"""

from __future__ import annotations

import bisect
import copy
import inspect
import itertools
import math
import random
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from nas.blocks import Block
from nas.errors import UserError, near, where
from nas.network import Images, Network
from nas.reward import UNBOUND, Bounds, Result

T = TypeVar("T")

MOST_QUESTIONS = 3_000  # a build that asks more is taken for one that never ends
MOST_AMONG = 1_000  # beyond as many as there are
MOST_OPTIONS = 10_000  # of a choice
COUNTED_EXACTLY = 100_000  # candidates; above this `count` is an estimate
WALKS = 2_000  # random walks behind an estimate
DRAWS = 100  # of a candidate, to meet one that is within bounds


def _written(option: object) -> str:
    if isinstance(option, type | FunctionType):
        return f"{option.__module__.rpartition('.')[2]}.{option.__qualname__}"
    if isinstance(option, Block) and callable(option.kind):
        return str(option)  # its repr has an address; a built-in's has none, and stays what older ledgers have
    if isinstance(option, frozenset):  # whose order is another in each process
        return f"{{{', '.join(sorted(map(repr, option)))}}}"
    return repr(option)


def _twice(options: Sequence[object]) -> list[object]:
    """Options that equal an earlier one."""
    try:
        met: set[object] = set()  # quicker to look in, for there may be many
        return [option for option in options if option in met or met.add(option)]  # type: ignore[func-returns-value]
    except TypeError:  # an option that has no hash
        return [option for i, option in enumerate(options) if option in options[:i]]


class Choice(Generic[T]):
    """A named, ordered set of options: `kernel = Choice(1, 3, 5)`; the attribute that holds it names it."""

    def __init__(self, *options: T, name: str = "") -> None:
        self.options = options
        self.name = name
        self.every = tuple(range(len(options)))
        if not options:
            raise UserError(f"Choice {name or '()'}: found no options, expected at least one, as in Choice(1, 3, 5)")
        if len(options) > MOST_OPTIONS:
            raise UserError(
                f"Choice {name or '()'}: found {len(options):,} options, expected at most {MOST_OPTIONS:,}; take "
                "coarser steps, or several choices"
            )
        if not isinstance(name, str):
            raise UserError(f"Choice{shorten(repr(options))}: found the name {name!r}, expected a text")
        twice = _twice(options)
        if twice:
            raise UserError(
                f"Choice{shorten(repr(options))}: found {shorten(repr(twice[0]))} more than once, expected each option "
                "once; leave one out"
            )

    @property
    def written(self) -> list[str]:
        """The options as a ledger has them, alike in every process: functions and classes by name, sets in order."""
        return [_written(option) for option in self.options]

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.options))})"


class Question(NamedTuple):
    """One decision while building, as a controller meets it."""

    choice: Choice[Any]
    legal: tuple[int, ...]  # the options that may be answered here, as indices into choice.options, ascending
    state: Hashable  # what a tabular agent may know; without `state=` the answers so far
    occurrence: int  # how often this choice was asked before in this walk
    anchors: int  # how many anchors were marked before this question
    link: int | None  # for "is there a link from that earlier anchor?": its number; else None

    @property
    def open(self) -> bool:
        """Whether there is anything to decide; questions with one legal option are never put to a controller."""
        return len(self.legal) > 1


class Child(Protocol):
    """What `build` may return: a `nas.network.Network`, or anything of one's own with these three."""

    @property
    def input_size(self) -> int:
        """Pixels a side; images are resized to it."""

    @property
    def key(self) -> str:
        """A name that equal networks share and different ones do not."""

    def module(self, images: Images) -> Any:
        """A torch module from float (N, channels, input_size, input_size) to logits (N, classes)."""


class Candidate(NamedTuple):
    """A network with the questions that led to it and their answers, one for one."""

    network: Child
    questions: tuple[Question, ...]
    answers: tuple[int, ...]

    @property
    def key(self) -> str:
        """The network's key."""
        return self.network.key

    @property
    def decisions(self) -> list[tuple[Question, int]]:
        """The questions that left something to decide, with their answers: all that a controller learns from."""
        return [step for step in zip(self.questions, self.answers, strict=True) if len(step[0].legal) > 1]


Answer = Callable[[Question], int]


class Limit(NamedTuple):
    """A choice whose options grow with the trials: those above `start + step * (trial // every)` are not offered.

    Zoph & Le 2017, section 4.1, let the depth grow so: Limit(6, 2, 1600).
    """

    start: float
    step: float = 0
    every: int = 1

    def at(self, trial: int) -> float:
        """The largest option offered at this trial."""
        return self.start + self.step * (trial // self.every)

    def __str__(self) -> str:
        return f"{self.start}+{self.step}/{self.every}" if self.step else f"{self.start}"


class Count(NamedTuple):
    """How many candidates a space has."""

    number: int
    exact: bool

    def __str__(self) -> str:
        if self.exact:
            return f"{self.number:,}"
        power = int(math.log10(self.number))
        return f"≈ {self.number / 10**power:.1f}e{power}"


LINK = Choice(False, True, name="link")


class Pick:
    """What `build` asks with; it records each question and its answer."""

    def __init__(self, answer: Answer, limits: Mapping[str, float]) -> None:
        self.questions: list[Question] = []
        self.answers: list[int] = []
        self.answering = False  # tells a fault of the controller from a fault of the space
        self._answer = answer
        self._limits = limits  # of this trial: the largest option of a choice, by its name
        self._asked: dict[str, int] = {}
        self._anchors = 0

    def __call__(self, choice: Choice[T], among: Iterable[T] | None = None, state: Hashable = None) -> T:
        """Ask for one option of `choice`, of those in `among` if it is given.

        state: what a tabular agent is to remember at this question; without it, all answers so far.
        Raises UserError if no option is legal, or if `among` has one that the choice lacks.
        """
        if not isinstance(choice, Choice):
            raise UserError(
                f"pick: found {shorten(repr(choice))}, expected a Choice that the space holds, as in pick(self.width)"
            )
        legal = choice.every if among is None else _legal(choice, among)
        if choice.name in self._limits:
            legal = _below(choice, legal, self._limits[choice.name])
        return choice.options[self._put(choice, legal, state, None)]

    def anchor(self) -> int:
        """Mark a layer that later layers may link to (one step of the RNN); its number, from 0."""
        self._anchors += 1
        return self._anchors - 1

    def links(self, anchors: Iterable[int], state: Hashable = None) -> tuple[bool, ...]:
        """Ask for each of these anchors whether the latest one takes its output (Zoph & Le 2017, section 3.3).

        Raises UserError for what is no anchor yet.
        """
        anchors = list(itertools.islice(anchors, self._anchors + MOST_AMONG))  # they may never end
        strange = [anchor for anchor in anchors if anchor not in range(self._anchors)]
        if strange:
            raise UserError(
                f"pick.links: found the anchor {strange[0]!r}, expected one of the {self._anchors} marked before, from "
                "0 on, as anchor = pick.anchor() gives them"
            )
        if state is None:
            return tuple(bool(self._put(LINK, LINK.every, None, anchor)) for anchor in anchors)
        return tuple(bool(self._put(LINK, LINK.every, (state, anchor), anchor)) for anchor in anchors)

    def _put(self, choice: Choice[Any], legal: tuple[int, ...], state: Hashable, link: int | None) -> int:
        occurrence = self._asked.get(choice.name, 0)
        self._asked[choice.name] = occurrence + 1
        question = Question(
            choice, legal, tuple(self.answers) if state is None else state, occurrence, self._anchors, link
        )
        if len(legal) == 1:
            given = legal[0]
        else:
            self.answering = True
            given = self._answer(question)
            self.answering = False
            if given not in legal:
                raise UserError(_not_legal(question, given))
            given = int(given)  # numpy's integers are not JSON's
        self.questions.append(question)
        self.answers.append(given)
        if len(self.answers) > MOST_QUESTIONS:
            raise UserError(
                f"{choice.name}: found more than {MOST_QUESTIONS} questions in one build, expected it to end; "
                "look for a loop in build() that no answer leaves"
            )
        return given


class Space:
    """Subclass it: choices as attributes, and `build`; its parameters are its constructor's."""

    images = Images(32, 3, 10)  # of the data at hand, set by `on`
    limits: Mapping[str, Limit] = {}  # by the name of a choice, set by `on`
    bounds = UNBOUND  # on what a network may cost, set by `on`
    _given: Mapping[str, object] = {}  # to the constructor

    def __new__(cls, *args: Any, **named: Any) -> Self:
        """Note what the constructor is given, for `repr`: it may keep something made of it instead."""
        made = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind_partial(made, *args, **named)
        bound.apply_defaults()
        made._given = _plain(bound.arguments)
        return made

    def __init__(self) -> None:
        """No parameters, unless a subclass has some."""

    def build(self, pick: Pick) -> Child:
        """Write down one network."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, Choice) and not value.name:
            value.name = name
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        held = _plain(vars(self))
        said = held | {name: value for name, value in self._given.items() if name not in held}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in said.items())})"

    def on(self, images: Images, limits: Mapping[str, Limit] | None = None, bounds: Bounds = UNBOUND) -> Self:
        """The same space for these images, under these limits, its networks within these bounds.

        Raises UserError for a limit on a choice that the space lacks, or whose options are no numbers.
        """
        for name in limits or {}:
            _check_limit(name, self.choices)
        same = copy.copy(self)
        same.images, same.limits, same.bounds = images, limits or {}, bounds
        return same

    @property
    def choices(self) -> dict[str, Choice[Any]]:
        """The choices that attributes of the space hold, alone or in a tuple or list, by name."""
        return {choice.name: choice for choice in self.held()}

    def held(self) -> list[Choice[Any]]:
        """The same choices in a list, where two of one name are seen."""
        held: dict[str, object] = {}
        for kind in reversed(type(self).__mro__):
            held |= vars(kind)
        held |= vars(self)
        found = [c for value in held.values() for c in (value if isinstance(value, tuple | list) else (value,))]
        return [c for c in found if isinstance(c, Choice)]

    def walk(self, answer: Answer, trial: int | None = None) -> Candidate:
        """Build one candidate, asking `answer` each question that has more than one legal option.

        trial: its number, for the space's limits; None for no limits.
        Raises UserError if build raises, asks without end, or an answer is not legal.
        """
        return self._build(Pick(answer, self._limits_at(trial)))

    def replay(self, answers: Sequence[int], trial: int | None = None) -> Candidate:
        """Build the candidate again that these answers, as recorded, led to.

        Raises UserError if the space asks more questions than there are answers, or fewer, or others.
        """

        def answer(_: Question) -> int:
            position = len(pick.answers)
            if position == len(answers):
                raise UserError(_other_questions(self, answers, f"question {position + 1}"))
            return answers[position]

        pick = Pick(answer, self._limits_at(trial))
        candidate = self._build(pick)
        if candidate.answers != tuple(answers):
            raise UserError(_other_questions(self, answers, f"the answers {list(candidate.answers)}"))
        return candidate

    def sample(self, rng: random.Random, trial: int | None = None) -> Candidate:
        """One candidate by uniform answers, within bounds: what every controller is held against."""
        return self.first_within(lambda: self.walk(lambda question: rng.choice(question.legal), trial))

    def first_within(self, draw: Callable[[], Candidate], most: int = DRAWS) -> Candidate:
        """The first of `most` draws that is within bounds, else the last: what it costs is known before training."""
        for _ in range(most):
            candidate = draw()
            if self.is_within(candidate):
                break
        return candidate

    def is_within(self, candidate: Candidate) -> bool:
        """Whether no bound on parameters or multiply-adds is known to refuse it."""
        return self.bounds == UNBOUND or not self.priced(candidate.network)[1]

    def priced(self, network: Child) -> tuple[Result, str]:
        """What is known of a network's costs before it is trained, and why it is refused; empty if it is not."""
        try:
            costs = network.costs(self.images) if isinstance(network, Network) else None
        except UserError as error:
            return Result(), str(error)
        known = Result(params=costs.params, madds=costs.madds) if costs else Result()
        return known, self.bounds.refusal(known)

    def revise(
        self, candidate: Candidate, changes: Mapping[int, int], rng: random.Random, trial: int | None = None
    ) -> Candidate:
        """The candidate with some answers changed: evolution's and local search's move.

        changes: {position in candidate.questions: new answer}. The other answers are kept, matched by choice and
        occurrence, as far as they are still legal; what is then still open is answered by `rng`.
        """
        kept = {
            (question.choice.name, question.occurrence): changes.get(position, given)
            for position, (question, given) in enumerate(zip(candidate.questions, candidate.answers, strict=True))
        }

        def answer(question: Question) -> int:
            given = kept.get((question.choice.name, question.occurrence))
            return given if given in question.legal else rng.choice(question.legal)

        return self.walk(answer, trial)

    def candidates(self) -> Iterator[Candidate]:
        """Every candidate once, in lexicographic order of the answers, without limits."""
        prefix: tuple[int, ...] | None = ()

        def answer(question: Question) -> int:
            assert prefix is not None
            return prefix[len(pick.answers)] if len(pick.answers) < len(prefix) else question.legal[0]

        while prefix is not None:
            pick = Pick(answer, {})
            candidate = self._build(pick)
            yield candidate
            prefix = _next_prefix(candidate)

    def count(self, seed: int = 0) -> Count:
        """How many candidates there are: exact up to 100,000, above that estimated by random walks (Knuth 1975)."""
        rng = random.Random(seed)
        free = self.on(self.images)  # what is refused is counted too
        walks = [math.prod(len(q.legal) for q in free.sample(rng).questions) for _ in range(WALKS)]
        estimate = sum(walks) // WALKS
        if estimate > 100 * COUNTED_EXACTLY:  # unbiased, so by Markov a hundredfold overestimate is out of the question
            return Count(estimate, exact=False)
        exact = sum(1 for _ in itertools.islice(self.candidates(), COUNTED_EXACTLY + 1))
        return Count(exact, exact=True) if exact <= COUNTED_EXACTLY else Count(estimate, exact=False)

    def _limits_at(self, trial: int | None) -> Mapping[str, float]:
        return {} if trial is None else {name: limit.at(trial) for name, limit in self.limits.items()}

    def _build(self, pick: Pick) -> Candidate:
        try:
            network = self.build(pick)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            if pick.answering:
                raise
            raise UserError(_build_raised(self, pick, error)) from error
        return Candidate(network, tuple(pick.questions), tuple(pick.answers))


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    """Those that are written the same in every process."""
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}


def _legal(choice: Choice[T], among: Iterable[T]) -> tuple[int, ...]:
    among = list(itertools.islice(among, len(choice.options) + MOST_AMONG))  # it may never end
    try:
        legal = _places(choice, set(among))  # quicker to look in
    except TypeError:  # an option, of the choice or in among=, that has no hash
        legal = _places(choice, among)
    if legal and len(legal) >= len(among):
        return legal
    strange = [option for option in among if option not in choice.options]
    if strange:
        raise UserError(
            f"{choice.name}: found {strange[0]!r} in among=, expected some of {list(choice.options)}; "
            "filter the choice's own options, as in among=[w for w in self.width.options if w >= least]"
        )
    if not legal:
        raise UserError(
            f"{choice.name}: found no option in among=, expected at least one of {list(choice.options)}; "
            "ask only where something is legal, as in `if fits: pick(...)`"
        )
    return legal


def _places(choice: Choice[T], found: Collection[T]) -> tuple[int, ...]:
    return tuple(i for i, option in enumerate(choice.options) if option in found)


def _below(choice: Choice[Any], legal: tuple[int, ...], bound: float) -> tuple[int, ...]:
    """The legal options up to the bound; the smallest one if all are above, for a limit must not end a build."""
    smallest = min(legal, key=lambda i: choice.options[i])
    return tuple(i for i in legal if choice.options[i] <= bound) or (smallest,)


def _next_prefix(candidate: Candidate) -> tuple[int, ...] | None:
    for position in reversed(range(len(candidate.answers))):
        legal = candidate.questions[position].legal  # ascending
        later = bisect.bisect_right(legal, candidate.answers[position])
        if later < len(legal):
            return (*candidate.answers[:position], legal[later])
    return None


def _check_limit(name: str, choices: Mapping[str, Choice[Any]]) -> None:
    if name not in choices:
        known = ", ".join(choices) or "none"
        raise UserError(f"limit on {name}: found no such choice{near(name, choices)}, expected one of {known}")
    strange = {n: [option for option in c.options if not isinstance(option, int | float)] for n, c in choices.items()}
    if strange[name]:
        numbers = ", ".join(other for other in choices if not strange[other])
        mend = f"limit one of {numbers}" if numbers else "leave the limit out: this space has none"
        raise UserError(f"limit on {name}: found the option {strange[name][0]!r}, expected a choice of numbers; {mend}")


def _not_legal(question: Question, given: object) -> str:
    options = ", ".join(f"{i} ({question.choice.options[i]})" for i in question.legal)
    return (
        f"{question.choice.name}: found answer {given!r}, expected one of {options}; "
        "take the answer from question.legal, or allow the option with among= in build()"
    )


def _other_questions(space: Space, answers: Sequence[int], found: str) -> str:
    return (
        f"{type(space).__name__}: found {found}, expected the {len(answers)} questions whose answers were recorded, "
        f"{list(answers)}; the space has changed since, or build() is not a function of its answers alone"
    )


def _build_raised(space: Space, pick: Pick, error: BaseException) -> str:
    asked = ", ".join(
        f"{q.choice.name} {q.choice.options[a]!r}" for q, a in zip(pick.questions, pick.answers, strict=True)
    )
    return (
        f"{type(space).__name__}.build: found {type(error).__name__}: {error} {where(error)}, "
        f"expected a network; it came after {shorten(asked) or 'no answer'}"
    )


def shorten(text: str, most: int = 300) -> str:
    """The text, its middle left out if it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"
