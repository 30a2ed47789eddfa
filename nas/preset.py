"""Presets: searches as papers ran them, as plain data; any space can be run with any of them.

A preset stands for options of `nas search` and is kept nowhere: a ledger's header has what the options came to, so a
search begun with a preset goes on with the same options spelled out. An option that is given replaces its part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nas.space import Limit, Space


@dataclass(frozen=True)
class Preset:
    """A controller and its parameters, a recipe with its epochs, a reward and limits; the defaults are a search's."""

    about: str = ""  # the table it follows, and where it departs from it
    controller: str = "reinforce"
    parameters: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    recipe: str = "quick"
    reward: str = "accuracy"
    limits: Mapping[str, Limit] = field(default_factory=dict)
    length: int = 1  # trials of the search that the limits are written for

    def limits_of(self, space: Space, length: int) -> dict[str, Limit]:
        """The limits on choices that this space has, as numbers, stretched or shrunk to a search of so many trials."""
        return {
            name: limit._replace(every=max(1, round(limit.every * length / self.length)))
            for name, limit in self.limits.items()
            if name in space.choices and all(isinstance(option, int | float) for option in space.choices[name].options)
        }

    def options(self) -> str:
        """The same as options of `nas search`."""
        parameters = "".join(f" --set {name}={value}" for name, value in self.parameters.items())
        limits = "".join(f" --limit {name}={limit}" for name, limit in self.limits.items())
        return f"--controller {self.controller}{parameters} --recipe {self.recipe} --reward {self.reward}{limits}"


# REINFORCE with nothing added to it, for `reinforce`.
PLAIN: Mapping[str, bool | int | float | str] = {
    "baseline": "average", "decay": 0.9, "best": 0, "explore": 0.0, "screen": 1,
}  # fmt: skip

PRESETS = {
    "zoph2017": Preset(
        controller="reinforce",
        parameters={"rate": 0.0006, "batch": 8, "hidden": 35, "layers": 2, **PLAIN},
        recipe="zoph2017",
        reward="cubed",
        limits={"depth": Limit(6, 2, 1600)},
        length=12_800,
        about="""\
Follows Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, sections 3.2 and 4.1: an LSTM of
two layers of 35, Adam at 0.0006, an update after each 8 children, a moving average of rewards as baseline, 50 epochs a
child, the highest validation accuracy of the last five cubed, and a depth that begins at 6 and grows by 2 every 1,600
of 12,800 children.
Departs from it: the depth grows by about as many steps over a search of any length, where the space has a choice
`depth`, from 6 whatever its options, and all depths reached so far stay open; the baseline, whose start and decay are
not given, begins at the mean of the first 8 rewards, so that these are in their own baseline, and has a decay of 0.9;
the batch of a child's training, which is not given, is 128; one controller in place of 100 that share their weights,
and it scores candidates again under its present weights when they are told; a step of the LSTM is given what is asked
beside the last answer; a failed child counts as the lowest reward told, and not at all before there is one.""",
    ),
    "metaqnn": Preset(
        controller="q-learning",
        parameters={
            "rate": 0.01, "discount": 1.0, "trace": 0.0, "initial": 0.5, "replays": 100, "schedule": "metaqnn",
        },
        recipe="metaqnn",
        reward="accuracy",
        about="""\
Follows Baker, Gupta, Naik & Raskar, "Designing Neural Network Architectures using Reinforcement Learning", ICLR 2017,
sections 4 and 5 and table 2: Q-values from 0.5, learning rate 0.01, discount 1, updates from a network's last layer to
its first, 100 networks replayed after each, ε from 1 to 0.1; 20 epochs a child, begun again at a lower rate where the
first is no better than chance.
Departs from it: ε's schedule, of 2,700 different networks there, stretches over a search of any length, and a repeat
under way counts as a different network until it is told; a failed child counts as the lowest reward told, and not at
all before there is one; dropout is the space's, and `metaqnn` has it.""",
    ),
    "nasbench201-reinforce": Preset(
        controller="reinforce",
        parameters={"rate": 0.001, "batch": 1, "hidden": 35, "layers": 0, **PLAIN},
        recipe="nasbench201",
        reward="accuracy",
        about="""\
Follows the REINFORCE of Dong & Yang, "NAS-Bench-201", ICLR 2020, section 5, and its released code: each question has
logits of its own, one an option, Adam at 0.001, an update after each child, a moving average with decay 0.9 as
baseline, 12 epochs a child, the best child seen as result.
Departs from it: the logits begin at 0, and not with deviations of a thousandth; the reward is a fraction and not in
percent, which scales the gradient, and Adam undoes that; the baseline begins at the first child's reward and is the
average of the children before, where there a child's own reward is in it too and rewards weigh by their age alone. So
the first child moves nothing, as there, and the next few have other gains than there. Where several children are under
way, they are scored again under the present logits when they are told; a failed child counts as the lowest reward told,
and not at all before there is one. `hidden` means nothing without an LSTM.""",
    ),
}  # fmt: skip
