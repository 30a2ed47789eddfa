"""The command line, with children trained in this process: what it shows, leaves behind, and says of mistakes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from nas import Block, Network, Pick, Space, check, cli
from nas.ledger import FILE, read
from nas.network import Images
from nas.preset import PRESETS
from nas.reward import Bounds
from search_spaces.chain import Chain
from tests.conftest import Done, Nas

ROOT = Path(__file__).parents[2]

MINE = """
from nas import Block, Choice, Network, Pick, Space


class Small(Space):
    width = Choice(2, 4)
    depth = Choice(1, 2, 3)

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width)),) * pick(self.depth))


class Wider(Small):
    width = Choice(4, 8)


class Raises(Small):
    def build(self, pick: Pick) -> Network:
        return {2: Network(8, ())}[pick(self.width)]


class NeverEnds(Small):
    def build(self, pick: Pick) -> Network:
        while True:
            pick(self.width, state=0)


class OffersNothing(Small):
    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width, among=[])),))


class ZeroSize(Small):
    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width) - 2),))


class Local(Small):
    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(Choice(2, 4))),))


class Fails(Small):
    def build(self, pick: Pick) -> Network:
        return Own(pick(self.width))


class Own:
    input_size = 8

    def __init__(self, width):
        self.key = f"own {width}"

    def module(self, images):
        raise ValueError("no module today")


class Stops(Small):
    def build(self, pick: Pick) -> Network:
        width = pick(self.width)
        return Network(8, (Block("conv", width),)) if width == 2 else Stopping(width)


class Stopping(Own):
    def module(self, images):
        raise KeyboardInterrupt


def half(result):
    return result.accuracy[-1] / 2


def broken(result):
    return result.colour


class High:
    def __repr__(self):
        return "High()"

    def bar(self, told):
        return (0.999,)
"""

STUCK = """
class Stuck:
    def __init__(self, space, seed, length):
        self.space = space

    def ask(self, trial, pending):
        return self.space.walk(lambda question: question.legal[0], trial)

    def tell(self, trial, candidate, reward):
        pass

    def figures(self, trial):
        return {"entropy": 0}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def nas(nas: Nas, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nas]:
    """The command line, run in an empty folder with mine.py."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.setenv("NAS_CACHE", str(cache))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield nas
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


SEARCH = ("search", "mine.py:Small", "--workers", "0", "--images", "100", "--trials", "6", "--device", "cpu")
FOLDER = Path("runs", "mine.py_Small-random-digits-seed0")
RANDOM = (*SEARCH, "--controller", "random")


def sentence(text: str) -> str:
    """A pattern of a text in which … stands for anything."""
    return re.escape(text).replace("…", ".*")


def shows(done: Done, *sentences: str) -> None:
    """That the command went well and said all this."""
    assert (done.status, done.err) == (0, "")
    for text in sentences:
        assert re.search(sentence(text), done.out), (text, done.out)


# --- a search ---


def test_a_search_ends_with_its_best_networks_a_picture_and_how_to_go_on(nas: Nas) -> None:
    done = nas(*RANDOM)
    shows(
        done,
        "digits: 10 classes, 8 x 8 pixels, 1 channel",
        "split: 80 to train on, 20 for validation; test images are not touched",
        f"space: Small(), 6 networks; ledger: {FOLDER}",
        "trial    0  best so far 0.…conv width=",
        "Small(), RandomSearch, digits, seed 0: 6 trials, … repeats, 0 failed",
        "it ended because all 6 trials are done",
        "validation accuracy … 95 % … reward … parameters … multiply-adds … trial",
        f"picture: {FOLDER}/reward.png",
        f"nas finish {FOLDER} --space mine.py:Small    nas report {FOLDER} --space mine.py:Small    the same command",
        "best: validation accuracy 0.…, 95 % interval 0.… to 0.… on 20 images, which chose them too: "
        "expect less on others; test images were not touched",
    )
    assert sorted(path.name for path in FOLDER.iterdir()) == [FILE, "reward.png"]
    with Image.open(FOLDER / "reward.png") as picture:
        assert picture.format == "PNG"
    header, trials = read(FOLDER)
    assert (header["space"], header["controller"], header["seed"]) == ("Small()", "RandomSearch", 0)
    assert sorted(trial.trial for trial in trials) == list(range(6))


def test_a_search_with_a_rule_says_how_many_children_it_stopped(nas: Nas) -> None:
    rule = ("--epochs", "2", "--window", "1", "--stop", "mine.py:High")
    done = nas(*RANDOM, *rule)
    shows(done, "6 trials, … repeats, 0 failed, … stopped with … % of epochs saved, ")
    header, _ = read(FOLDER)
    assert header["stop"] == "mine.High()"
    shows(nas("show", str(FOLDER)), "0 failed, … stopped with … % of epochs saved, ")
    is_refused(
        nas(*RANDOM, *rule[:-1], "none"), "…found a search with stop 'mine.High()', expected None as in this command…"
    )


def test_with_one_epoch_it_says_that_nothing_can_be_stopped(nas: Nas) -> None:
    shows(nas(*RANDOM, "--stop", "halving"), "--stop: with one epoch no child can be stopped; give more --epochs")


def test_the_same_command_again_goes_on_and_trains_nothing(nas: Nas) -> None:
    nas(*RANDOM)
    content = (FOLDER / FILE).read_bytes()
    done = nas(*RANDOM)
    shows(done, "6 trials, …", "it ended because all 6 trials are done", "picture: ")
    assert "best so far" not in done.out
    assert (FOLDER / FILE).read_bytes() == content


def test_more_trials_go_on_with_the_search(nas: Nas) -> None:
    nas(*RANDOM)
    content = (FOLDER / FILE).read_bytes()
    shows(nas(*RANDOM, "--trials", "9"), "going on after 6 trials", ": 9 trials, ")
    assert (FOLDER / FILE).read_bytes().startswith(content)
    assert len(read(FOLDER)[1]) == 9


def test_a_search_cut_off_goes_on_to_what_it_would_have_been(nas: Nas) -> None:
    def lines() -> list[dict[str, Any]]:
        trials = [json.loads(line) for line in (FOLDER / FILE).read_text().splitlines()[1:]]
        kept = [{k: v for k, v in trial.items() if k not in ("at", "seconds", "sum")} for trial in trials]
        return sorted(kept, key=lambda trial: int(trial["trial"]))

    reinforce = [*SEARCH, "--set", "batch=2", "--out", str(FOLDER)]
    nas(*reinforce)
    whole, content = lines(), (FOLDER / FILE).read_bytes()
    (FOLDER / FILE).write_bytes(content[: len(content) // 2])
    nas(*reinforce)
    assert lines() == whole


OLD = {  # by the commit of this toolkit that wrote them: the options that they were written with
    "65d49fd": "-c random",
    "90d474e": "-c evolution",
    "0993464": "-c q-learning --limit depth=2 --set rate=0.03",  # from here on with what controllers say of themselves
    "5d9bf45": "-c random --limit depth=2 --limit input_size=8 --epochs 2 --stop halving:first=1",  # and bars
    "e0bf072": "-c evolution --limit depth=2",  # and precisions, and a record of the machine
    "a00cbb6": "-c reinforce --limit depth=2",
}


def test_show_says_which_trials_have_no_line(nas: Nas) -> None:
    nas(*RANDOM)
    path = FOLDER / FILE
    header, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + b"".join(lines[:2] + lines[3:]))  # in one process they finish in their order
    shows(nas("show", str(FOLDER)), "no line of trial 2: the search's own command trains what is missing")
    shows(nas(*RANDOM), "all 6 trials are done")
    assert "no line" not in nas("show", str(FOLDER)).out


OLD_SEARCH = "search chain --images 60 --workers 0 --device cpu --out old"


@pytest.mark.parametrize("commit", OLD)
def test_a_ledger_of_an_older_version_is_shown_and_goes_on(nas: Nas, commit: str) -> None:
    written = (Path(__file__).parent / "ledgers" / f"{commit}.jsonl").read_bytes()
    Path("old").mkdir()
    Path("old", FILE).write_bytes(written)
    count = written.count(b"\n")  # one trial more than there are
    shows(nas("show", "old"), f"Chain(), …, digits, seed 0: {count - 1} trials", "x … pixels")
    shows(nas(*f"{OLD_SEARCH} {OLD[commit]} --trials {count}".split()), f"all {count} trials are done")
    after = Path("old", FILE).read_bytes()
    assert after.startswith(written)
    assert len(read(Path("old"))[1]) == count


@pytest.mark.parametrize(
    ("commit", "options", "found"),
    [
        ("0993464", "-c q-learning --limit depth=2", "parameters rate 0.03, expected 0.1 as in this command; give the"),
        ("e0bf072", "-c evolution", "limits depth [2, 0, 1], expected None as in this command; give the same options"),
    ],
)
def test_an_older_ledger_that_cannot_go_on_so_is_refused_with_what_differs(
    nas: Nas, commit: str, options: str, found: str
) -> None:
    Path("old").mkdir()
    shutil.copy(Path(__file__).parent / "ledgers" / f"{commit}.jsonl", Path("old", FILE))
    done = nas(*OLD_SEARCH.split(), *options.split())
    assert done.status == 2
    assert f"nas: old: found a search with {found}" in done.err


def test_a_search_whose_header_was_torn_begins_anew(nas: Nas) -> None:
    nas(*SEARCH, "--controller", "random")
    whole = (FOLDER / FILE).read_bytes()
    (FOLDER / FILE).write_bytes(whole[:100])
    shows(nas(*SEARCH, "--controller", "random"), "all 6 trials are done")
    assert len(read(FOLDER)[1]) == 6


def test_of_one_network_the_accuracy_is_said_once(nas: Nas) -> None:
    said = nas("search", "chain", *RANDOM[2:], "--trials", "1", "--epochs", "1").out
    assert re.search(r"\nthe best: validation accuracy 0\.\d{4}, 95 % interval .* which chose it too: ", said)


def test_with_enough_networks_it_says_what_random_sampling_would_have_found(nas: Nas) -> None:
    done = nas("search", "chain", *RANDOM[2:], "--trials", "52", "--recipe", "quick:batch=80")
    shows(
        done,
        "random sampling would be expected to have found a reward of",
        "this search found 0.",
        "health, of the last 52 trials: repeats 0 %, spread 0.…, advantage over random sampling …0.",
    )
    folder = "runs/chain-random-digits-seed0"
    shows(nas("show", folder), "health, of the last 52 trials: repeats 0 %, …, advantage over random sampling …0.")


def test_options_reach_the_ledger(nas: Nas) -> None:
    shows(
        nas(
            *SEARCH, "--controller", "evolution:population=3", "--set", "sample=2", "--seed", "4", "--epochs", "2",
            "--recipe", "quick:rate=0.05", "--reward", "mine.py:half", "--window", "3", "--child-timeout", "60",
            "--out", "mine",
        )
    )  # fmt: skip
    header, trials = read(Path("mine"))
    assert header["controller"] == "Evolution"
    assert header["parameters"] == {"population": 3, "sample": 2}
    assert (header["seed"], header["window"], header["length"], header["child_timeout"]) == (4, 3, 6, 60)
    assert (header["recipe"]["epochs"], header["recipe"]["rate"], header["recipe"]["warmup"]) == (2, 0.05, 0.1)
    assert (header["reward"], header["data"], header["training"]) == ("mine.half", "digits", 80)
    trained = [trial for trial in trials if trial.result]
    assert all(trial.reward == trial.result.accuracy[-1] / 2 for trial in trained if trial.result)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--unique", "2"), "2 networks are trained"),
        (("--patience", "1"), "the last 1 trials were all repeats: the controller or the space has nothing new"),
        (("--hours", "1e-9"), "1e-09 hours are over"),
        (("--device-hours", "1e-9"), "1e-09 device hours are spent"),
    ],
)
def test_budgets_end_a_search(nas: Nas, options: tuple[str, ...], why: str) -> None:
    done = nas(*RANDOM, "--trials", "500", "--window", "1", *options)
    if options[0] == "--hours":  # not one child
        assert done.status == 2
    assert f"it ended because {why}" in done.out


@pytest.mark.parametrize(
    ("options", "doubled"),
    [
        ((), "--trials 12"),
        (("--unique", "2"), "--unique 4"),
        (("--patience", "1", "--trials", "500"), "--patience 2"),
    ],
)
def test_a_search_goes_on_with_twice_the_budget_that_it_ended_by(
    nas: Nas, options: tuple[str, ...], doubled: str
) -> None:
    again = (*RANDOM, "--window", "1", *options)
    shows(nas(*again), f"    the same command with {doubled}\n")
    before = len(read(FOLDER)[1])
    nas(*again, *doubled.split())
    assert len(read(FOLDER)[1]) > before


def test_after_hours_twice_as_many_are_named() -> None:
    budgets = {"trials": 200, "unique": None, "hours": 0.25, "device-hours": 3}
    assert cli._doubled("0.25 hours are over", budgets) == "--hours 0.5"
    assert cli._doubled("3 device hours are spent", budgets) == "--device-hours 6"


def test_a_search_that_networks_end_counts_them(nas: Nas) -> None:
    shows(nas(*RANDOM, "--trials", "500", "--unique", "2"), "for 2 of them", "1 of 2 networks, best ")


def spelled_out(done: Done) -> list[str]:
    """The options that a search by preset says it stands for."""
    found = re.search(r"^preset \S+: (--.*)$", done.out, re.MULTILINE)
    assert found, done.out
    return shlex.split(found[1])


@pytest.mark.parametrize("name", PRESETS)
def test_a_search_by_preset_goes_on_with_the_same_options_spelled_out(nas: Nas, name: str) -> None:
    done = nas(*SEARCH, "--epochs", "1", "--preset", name, "--out", "runs")
    shows(done, "6 trials")
    content = Path("runs", FILE).read_bytes()
    shows(nas(*SEARCH, "--epochs", "1", *spelled_out(done), "--out", "runs"), "it ended because all 6 trials are done")
    assert Path("runs", FILE).read_bytes() == content


def test_options_replace_parts_of_a_preset(nas: Nas) -> None:
    part = ("--set", "rate=0.1", "--recipe", "quick", "--epochs", "2", "--reward", "mine.py:half", "--limit", "depth=1")
    shows(nas(*SEARCH, "--preset", "metaqnn", *part, "--out", "runs"))
    header, trials = read(Path("runs"))
    assert (header["controller"], header["reward"], header["limits"]) == (
        "QLearning",
        "mine.half",
        {"depth": [1, 0, 1]},
    )
    assert (header["parameters"]["rate"], header["parameters"]["schedule"]) == (0.1, "metaqnn")
    assert (header["recipe"]["epochs"], header["recipe"]["optimizer"]) == (2, "sgd")
    assert all(trial.answers[1] == 0 for trial in trials)


def test_another_controller_leaves_out_the_presets_parameters(nas: Nas) -> None:
    done = nas(*SEARCH, "--preset", "metaqnn", "--epochs", "1", "--controller", "evolution:sample=2", "--out", "runs")
    said = "preset metaqnn: the controller is evolution:sample=2, so its parameters of q-learning are left out"
    shows(done, said, "preset metaqnn: --controller evolution:sample=2 --set sample=2 --recipe metaqnn")
    header, _ = read(Path("runs"))
    assert (header["controller"], header["parameters"]["sample"]) == ("Evolution", 2)
    assert header["recipe"]["restarts"] == 5


def test_parameters_typed_with_a_presets_own_controller_replace_its_parameters(nas: Nas) -> None:
    words = ("--preset", "metaqnn", "--controller", "q-learning:rate=0.5", "--epochs", "1", "--out", "runs")
    assert "left out" not in nas(*SEARCH, *words).out
    header, _ = read(Path("runs"))
    assert (header["parameters"]["rate"], header["parameters"]["schedule"]) == (0.5, "metaqnn")


def test_a_limit_that_grows_is_shown_and_kept(nas: Nas) -> None:
    done = nas(*RANDOM, "--limit", "depth=1+1/2", "--out", "runs")
    shows(done, "Small(), 6 networks, limit depth=1+1/2; ledger: runs")
    depths = {trial.trial: 1 + trial.answers[1] for trial in read(Path("runs"))[1]}
    assert all(depths[trial] <= 1 + trial // 2 for trial in range(6))
    assert max(depths.values()) > 1


def test_a_dry_run_keeps_limits(nas: Nas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.console, "width", 200)
    done = nas(*RANDOM, "--limit", "depth=1", "--dry-run")
    shows(done, "conv width=")
    assert not re.search(r"[23] x conv", done.out)


def test_a_presets_limit_is_that_of_the_searchs_first_length(nas: Nas) -> None:
    words = (*SEARCH, "--preset", "zoph2017", "--epochs", "1", "--out", "runs")
    shows(nas(*words, "--trials", "16"), "limit depth=6+2/2;")
    shows(nas(*words, "--trials", "24"), "going on after 16 trials", ": 24 trials, ")
    assert read(Path("runs"))[0]["limits"] == {"depth": [6, 2, 2]}


def test_a_search_whose_children_all_fail_says_so(nas: Nas) -> None:
    done = nas("search", "mine.py:Fails", *RANDOM[2:])
    assert done.status == 2
    assert "failed: exception: ValueError: no module today" in done.out
    assert 'found no child that trained, expected one at least; the last error is "exception: ' in done.err


def test_where_many_children_failed_it_says_by_what(nas: Nas) -> None:
    done = nas("search", "chain", *RANDOM[2:], "--trials", "12", "--child-timeout", "1e-9", "--out", "runs")
    sentence = (
        "expected one at least; the search is failing: 12 of the last 12 networks have no reward, 12 of them by an "
        'error as in "time limit: '
    )
    assert sentence in done.err
    assert sentence in nas("show", "runs").err


def test_a_search_stopped_by_hand_says_that_it_can_go_on(nas: Nas) -> None:
    done = nas("search", "mine.py:Stops", *RANDOM[2:], "--out", "runs")
    assert (done.status, done.err) == (130, "")
    assert done.out.endswith(
        f"\nstopped after {len(read(Path('runs'))[1])} trials; the same command goes on from here\n"
    )
    again = nas("search", "mine.py:Stops", *RANDOM[2:], "--out", "runs")
    assert again.status == 130  # and no lock is left


def test_a_dry_run_trains_ten_children_and_writes_nothing(nas: Nas) -> None:
    done = nas(*RANDOM, "--dry-run")
    shows(done, "child … seconds … accuracy … network", "6 trials: about … on one worker, … on")
    assert len(re.findall(r"8 x 8 pixels|conv width=", done.out)) >= 10
    assert [path.name for path in Path().iterdir()] == ["mine.py"]


# --- looking at searches and at what there is ---


def test_show_writes_networks_down_block_by_block(nas: Nas) -> None:
    nas(*RANDOM)
    done = nas("show", str(FOLDER), "--most", "1")
    best = max(read(FOLDER)[1], key=lambda trial: (trial.reward or 0, -trial.trial))
    shows(done, f"trial {best.trial}, network {best.key}", "  8 x 8 pixels\n", "conv width=")
    assert done.out.count("\ntrial ") == 1
    shows(done, "health, of the last 6 trials: repeats ")


def test_costs_are_measured_bounded_priced_shown_and_drawn(nas: Nas) -> None:
    price = ("--reward", "hard:target=150,cost=params", "--max-params", "200", "--latency", "4")
    shows(
        nas(*RANDOM, *price, "--trials", "12"),
        "bounds: max_params=200; … % of random networks are within them",
        "12 trials, … repeats, 0 failed, ",
        "parameters … multiply-adds … ms … trial",
        "within one standard error of the best, 0.…",
    )
    shows(
        nas("show", str(FOLDER), "--cost", "latency"),
        "Pareto front: accuracy … ms an image … trial",
        "latency, median and quartiles: one image … ms (… to …), 4 images … ms (… to …); peak memory … KiB",
    )
    shows(nas("plot", str(FOLDER), "--what", "pareto", "--cost", "memory"), f"picture: {FOLDER}/pareto.png")
    assert (FOLDER / "pareto.png").stat().st_size > 1000
    assert all(trial.result.params <= 200 for trial in read(FOLDER)[1] if trial.result and trial.result.params)


def test_where_all_random_networks_are_within_the_bounds_they_are_100_percent() -> None:
    said = cli._passing(Chain().on(Images(8, 1, 10)), Bounds(max_params=10**9, max_latency_ms=3), 10)
    assert said == "bounds: max_params=1,000,000,000; 100 % of random networks are within them\n"


def test_that_none_of_few_random_networks_is_within_the_bounds_is_not_said_as_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "LONGEST_WALK", 0.5)
    monkeypatch.setattr(check, "SAMPLED", (1, 10**9))
    said = cli._passing(Chain().on(Images(8, 1, 10)), Bounds(max_params=1), 10)
    assert said.startswith("bounds: max_params=1; none of the random networks that there was time for is within them:")


class Own(Space):
    """Networks of a torch module, whose costs are not known before it is built."""

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block(lambda block, channels: nn.Conv2d(channels, 4, 3)),))


def test_of_a_block_that_is_a_torch_module_it_is_said_that_the_share_within_bounds_is_not_known() -> None:
    said = cli._passing(Own().on(Images(8, 1, 10)), Bounds(max_params=100), 10)
    assert said.startswith("bounds: max_params=100; what share of random networks is within them is not known: a block")
    assert not cli._passing(
        Own().on(Images(8, 1, 10)), Bounds(max_latency_ms=3), 10
    )  # which nobody expects to be known


def test_a_dry_run_trains_networks_within_bounds_and_says_how_many_are(
    nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.console, "width", 200)
    done = nas(*RANDOM, "--max-params", "100", "--latency", "2", "--dry-run")
    shows(done, "ms … network", "bounds: max_params=100; … % of random networks are within them")
    assert "refused" not in done.out
    assert [path.name for path in Path().iterdir()] == ["mine.py"]


def test_a_search_that_has_collapsed_says_so_while_it_runs_at_its_end_and_when_shown(nas: Nas) -> None:
    Path("stuck.py").write_text(STUCK)
    sentence = "the controller has collapsed to 1 network since about trial 0: 100 % of the last …, entropy 0.00; try"
    done = nas(*RANDOM, "--controller", "stuck.py:Stuck", "--trials", "100", "--out", "stuck")
    shows(done, sentence, f"health, of the last 100 trials: entropy 0.00, repeats 99 %, spread 0.000\n{sentence}")
    assert done.out.count("the controller has collapsed") == 2
    shows(nas("show", "stuck"), f"{sentence}")


def test_plot_draws_several_searches_in_one_picture(nas: Nas) -> None:
    nas(*RANDOM)
    nas(*RANDOM, "--seed", "1")
    other = str(FOLDER).replace("seed0", "seed1")
    shows(nas("plot", str(FOLDER), other, "--out", "both.png"), "picture: both.png")
    assert Path("both.png").stat().st_size > 1000
    shows(nas("plot", str(FOLDER), other, "--what", "health"), f"picture: {FOLDER}/health.png")
    assert (FOLDER / "health.png").stat().st_size > 1000


def test_spaces_are_listed_with_their_sizes(nas: Nas) -> None:
    shows(nas("spaces"), "chain … ≈ ", "metaqnn … depth=18", "nasbench201 … channels=16, cells=5 … 15,625", "zoph")


def test_controllers_are_listed_with_their_sources(nas: Nas) -> None:
    shows(
        nas("controllers"),
        "evolution  population=25, sample=10",
        "random  no parameters",
        "reinforce  rate=",
        "Departs from the paper:",
    )


def test_presets_are_listed_with_what_they_stand_for(nas: Nas) -> None:
    shows(
        nas("presets"),
        "zoph2017  --controller reinforce --set rate=0.0006 … --reward cubed --limit depth=6+2/1600\n",
        "metaqnn  --controller q-learning --set rate=0.01 … --recipe metaqnn",
        "nasbench201-reinforce  --controller reinforce",
        "Departs from it",
    )


def test_check_describes_a_sound_space(nas: Nas) -> None:
    shows(
        nas("check", "mine.py:Small"),
        "Small() is sound: 6 networks, 2 to 2 questions each",
        "for example 8 x 8 pixels; …conv width=",
    )
    shows(nas("check", "metaqnn:depth=3", "--data", "cifar10"), "MetaQnn(depth=3) is sound: ")


# --- mistakes ---


def is_refused(done: Done, message: str) -> None:
    """That there was one message, no more, and that it was this."""
    assert done.status == 2
    assert re.fullmatch(f"nas: {sentence(message)}\n", done.err, re.DOTALL), done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search", "chian"], "space: found 'chian'; did you mean chain?, expected one of chain, …"),
        (["check", "chian"], "space: found 'chian'; did you mean chain?, expected one of chain, …"),
        ([*SEARCH, "-c", "evolutoin"], "controller: found 'evolutoin'; did you mean evolution?, expected one of …"),
        ([*SEARCH, "-c", "optuna:anneal"], "sampler: found 'anneal', expected one of random, tpe, …"),
        ([*SEARCH, "--data", "cifar"], "data: found 'cifar'; did you mean cifar10?, expected one of digits, …"),
        ([*SEARCH, "--device", "tpu"], "--device: found 'tpu'; did you mean cpu?, expected auto, cpu or cuda"),
        ([*SEARCH, "--recipe", "fast"], "recipe: found 'fast', expected one of quick, zoph2017, metaqnn, …"),
        ([*SEARCH, "--preset", "zoph"], "preset: found 'zoph'…, expected one of zoph2017, metaqnn, …"),
        ([*SEARCH, "--limit", "depth"], "--limit: found 'depth', expected CHOICE=START or …, as in depth=6 or …"),
        ([*SEARCH, "--limit", "height=3"], "limit on height: found no such choice, expected one of width, depth"),
        (["search", "chain", "--limit", "block=3"], "limit on block: found the option 'conv', expected a choice of …"),
        ([*SEARCH, "--recipe", "quick:speed=2"], "recipe quick: found the parameter speed, expected one of epochs, …"),
        ([*SEARCH, "--recipe", "quick:schedule=x"], "recipe: found schedule=x, expected one of cosine, constant, step"),
        ([*SEARCH, "--reward", "acc"], "reward: found 'acc', expected one of accuracy, …"),
        ([*SEARCH, "--workers", "many"], "--workers: found 'many', expected a number, or auto"),
        ([*SEARCH, "--per-gpu", "0"], "--per-gpu: found '0', expected a number from 1 on, or auto"),
        ([*SEARCH, "--set", "speed=2"], "controller reinforce: found the parameter speed, expected one of rate, …"),
        ([*SEARCH, "--set", "speed"], "--set: found 'speed', expected name=value"),
        ([*SEARCH, "--set", "rate=high"], "controller reinforce: rate: found 'high', expected a value of type float"),
        ([*SEARCH, "-c", "evolution", "--set", "sample=99"], "evolution: found sample=99, expected 1 to population=25"),
        ([*SEARCH, "--images", "5"], "--images: found 5, expected between 20 …"),
        ([*SEARCH, "--out", "mine.py"], "mine.py: found File exists, expected a folder to write to; choose another …"),
        (
            ["search", "mine.py:Smal"],
            "mine.py:Smal: found no Smal there; did you mean Small?, expected one of Small, …",
        ),
        (["search", "yours.py:Small"], "yours.py: found no such file, expected a Python file; …"),
        (["search", "metaqnn:depth=deep"], "space metaqnn: depth: found 'deep', expected a value of type int"),
        (["search", "mine.py:Raises"], "Raises.build: found KeyError: 4 (mine.py, line …), expected a network; it …"),
        (["search", "mine.py:NeverEnds"], "width: found more than … questions in one build, expected it to end; …"),
        (["search", "mine.py:OffersNothing"], "width: found no option in among=, expected at least one of [2, 4]; …"),
        (
            ["search", "mine.py:ZeroSize"],
            "ZeroSize.build: found a network that cannot be built (…), expected only networks that can; …",
        ),
        (["search", "mine.py:Local"], "Local.build: found a pick of a nameless choice Choice(2, 4), expected a …"),
        (
            ["check", "mine.py:ZeroSize"],
            "ZeroSize.build: found a network that cannot be built (…), expected only networks that can; …",
        ),
        (["show", "nowhere"], "nowhere: found no ledger.jsonl, expected the folder of a search; …"),
        (["plot", "nowhere", "--what", "all"], "--what: found 'all', expected rewards, health or pareto; leave it …"),
        (["plot", "nowhere"], "nowhere: found no ledger.jsonl, expected the folder of a search; …"),
    ],
    ids=lambda value: " ".join(value).removeprefix(" ".join(SEARCH)).strip() if isinstance(value, list) else "",
)
def test_a_mistake_is_one_message_and_leaves_nothing_behind(nas: Nas, words: list[str], message: str) -> None:
    is_refused(nas(*words), message)
    left = [path for path in Path().rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert left == [Path("mine.py")]


@pytest.mark.parametrize(
    "option", [("--trials", "0"), ("--seed", "-1"), ("--hours", "soon"), ("--speed", "2")], ids=str
)
def test_an_option_out_of_its_range_is_refused_by_name(nas: Nas, option: tuple[str, str]) -> None:
    done = nas("search", *option)
    assert done.status == 2
    assert option[0] in done.err
    assert "Traceback" not in done.err


def test_a_gpu_that_is_not_there_is_found_before_anything_is_written(nas: Nas) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    is_refused(
        nas(*SEARCH, "--device", "cuda"),
        "device cuda: found no GPU that torch can use here, expected one; use --device cpu",
    )
    assert not FOLDER.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "1"], "runs: found a search with seed 0, expected 1 as in this command; give the same options …"),
        (["--controller", "evolution"], "runs: found a search with controller 'RandomSearch', expected 'Evolution' …"),
        (["--images", "120"], "runs: found a search with training 80, expected 96 as in this command; …"),
        (["--window", "2"], "runs: found a search with window 8, expected 2 as in this command; …"),
        (["--epochs", "2"], "runs: found a search with recipe epochs 1, expected 2 as in this command; …"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_other_options_into_the_same_folder_are_refused_by_name(nas: Nas, options: list[str], message: str) -> None:
    nas(*RANDOM, "--out", "runs")
    content = Path("runs", FILE).read_bytes()
    is_refused(nas(*RANDOM, "--out", "runs", *options), message)
    assert Path("runs", FILE).read_bytes() == content


def test_a_ledger_of_another_space_is_refused(nas: Nas) -> None:
    nas(*RANDOM, "--out", "runs")
    words = [word.replace("Small", "Wider") for word in RANDOM]
    is_refused(nas(*words, "--out", "runs"), "runs: found a search with space 'Small()', expected 'Wider()' as …")


def test_a_damaged_ledger_is_refused_with_the_line(nas: Nas) -> None:
    nas(*RANDOM, "--out", "runs")
    ledger = Path("runs", FILE)
    ledger.write_bytes(ledger.read_bytes().replace(b'"trial": 2,', b'"trial": 7,'))
    for words in ([*RANDOM, "--out", "runs"], ["show", "runs"], ["plot", "runs"]):
        is_refused(nas(*words), "runs/ledger.jsonl, line …: found a damaged line (…), expected one JSON record …")


def test_a_search_with_other_options_is_refused_before_it_is_said_to_go_on(nas: Nas) -> None:
    nas(*RANDOM)
    done = nas(*RANDOM, "--trials", "9", "--epochs", "3")
    is_refused(done, f"{FOLDER}: found a search …")
    assert "going on" not in done.out


def test_what_a_search_takes_at_least_counts_the_latency_that_is_measured(nas: Nas) -> None:
    plain, measured = (
        nas("search", "--trials", "1", "--images", "100", "--workers", "0", "--out", name, *more).out
        for name, more in (("plain", ()), ("measured", ("--latency", "64")))
    )
    each = [
        re.search(r"^at least ([\d.]+) s a child on a CPU core, [\d.]+ s for 1 of", out, re.M)
        for out in (plain, measured)
    ]
    seconds = [float(found[1]) for found in each if found]
    assert seconds[1] > seconds[0] + 0.1


def test_a_reward_that_fails_is_refused_and_can_be_mended(nas: Nas) -> None:
    done = nas(*RANDOM, "--reward", "mine.py:broken")
    is_refused(done, "reward broken: found AttributeError: 'Result' object has no attribute 'colour' (mine.py, …")


def test_a_file_of_arrays_without_labels_is_refused(nas: Nas) -> None:
    np.savez("images.npz", x=np.zeros((20, 8, 8), np.uint8))
    is_refused(nas(*RANDOM, "--data", "npz:images.npz"), "npz:…images.npz: found …, expected …")
    assert not Path("runs").exists()


def test_a_folder_with_one_class_is_refused(nas: Nas) -> None:
    for number in range(4):
        Path("photos/cat").mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(f"photos/cat/{number}.png")
    is_refused(
        nas(*RANDOM, "--data", "folder:photos"), "folder:…photos: found one class folder (cat), expected two or more, …"
    )
    assert not Path("runs").exists()


# --- help ---


def test_compare_says_it_all_again_when_its_own_folder_is_among_those_given(nas: Nas) -> None:
    for controller in ("random", "evolution"):
        nas(*SEARCH[:-4], "--trials", "50", "--unique", "3", "--controller", controller, "--out", f"runs/{controller}")
    folders = ["runs/comparison", "runs/evolution", "runs/random"]
    Path("runs/comparison").mkdir()
    first = nas("compare", *folders)
    shows(first, "# Small · digits: random, evolution", "## After 3 evaluations", "| evolution − random |")
    assert nas("compare", *folders) == first
    assert sorted(path.suffix for path in Path("runs/comparison").iterdir()) == [".json", ".md", ".png"]


def test_a_locale_without_a_character_shows_another_in_its_place() -> None:
    words, ascii_only = [sys.executable, "-m", "nas", "spaces"], {"PYTHONIOENCODING": "ascii", "COLUMNS": "200"}
    done = subprocess.run(words, env=os.environ | ascii_only, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "? 3.0e20" in done.stdout  # of metaqnn, ≈ elsewhere
