"""`nas finish` as it is typed: what it shows, how it is stopped, and what it refuses."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from controllers.local_search import LocalSearch
from nas.cli_finish import Shown
from nas.data import load
from nas.ledger import FILE, Trial
from nas.pool import Serial
from nas.reward import Result
from nas.search import search
from search_spaces.chain import Chain
from tests.conftest import Done, Nas

ROOT = Path(__file__).parents[2]
Typed = Callable[[str], Done]
QUICK = "--top 1 --seeds 1 --epochs 1 --no-random --device cpu"


@pytest.fixture
def typed(nas: Nas) -> Typed:
    """The command line, run in an empty folder by its words in one text."""
    return lambda words: nas(*shlex.split(words))


def test_a_finish_that_is_stopped_goes_on_and_shows_who_won(typed: Typed, tmp_path: Path) -> None:
    typed("search chain --controller random --images 100 --trials 2 --workers 0 --device cpu --out one")
    words = [sys.executable, "-m", "nas", "finish", "one", *QUICK.split(), "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = next(line for line in process.stdout if "seed 0" in line)
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
    assert first.startswith("1 of 7: trial ")
    assert process.returncode == 130
    assert re.fullmatch(r"stopped after \d+ trainings?; the same command goes on from here", said.splitlines()[-1])
    status, out, err = typed(f"finish one {QUICK} --workers 0")
    assert (status, err) == (0, "")
    assert "1 of 7" not in out  # it was done by then
    for text in ("7 of 7: ", "on 299 test images", "this search", "MobileNet V2", "The search's network", "one/model"):
        assert text in out
    plain = typed("finish one")[1]  # with the options that it was begun with
    assert "trials the best, 1 seed each, 1 epoch, images not mirrored (--flip otherwise); ledger: one/finish" in plain
    assert plain.endswith(out[out.index("\nthe search's best") :])
    status, _, err = typed("finish one --seeds 2 --top 1")
    assert (status, "found a finish begun with --seeds 1, expected the same" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        ("nowhere", "nowhere: found no ledger.jsonl, expected the folder of a search"),
        ("one --device tpu", "--device: found 'tpu'"),
        ("one --workers some", "--workers: found 'some', expected a number, or auto"),
        ("one --space chian", "space: found 'chian'; did you mean chain?"),
        ("one --space mobile", "found a search of Chain(), expected one of Mobile() as in this command"),
        ("one --data mnist:2", "data: found 'mnist:2'"),
        ("one --baseline nowhere", "nowhere: found no ledger.jsonl"),
        ("empty", "found no child that trained among 0 trials, expected one; give it more time"),
    ],
)
def test_what_cannot_be_finished_is_refused_with_a_sentence(
    typed: Typed, searched: Path, words: str, piece: str
) -> None:
    Path("one").symlink_to(searched)
    Path("empty").mkdir()
    header, *_ = (searched / FILE).read_bytes().splitlines(keepends=True)
    Path("empty", FILE).write_bytes(header)
    status, _, err = typed(f"finish {words}")
    assert (status, err.startswith("nas: ")) == (2, True)
    assert piece in err


def test_networks_of_the_random_search_are_counted_up_to_how_many_there_will_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = Shown(12, made=8)
    for number in range(4):
        shown.add(Trial(number, (), "key", "network", 0.5, Result((0.5,), (1.0,))))
    shown.close()
    lines = [f"random search beside it: {count} of 12 networks" for count in (10, 12)]
    assert capsys.readouterr().out.splitlines() == lines


def test_of_a_reward_of_ones_own_the_hint_leaves_out_the_random_search_and_a_finish_with_it_begins_nothing(
    typed: Typed, tmp_path: Path
) -> None:
    (tmp_path / "rew.py").write_text("def small(result):\n    return result.accuracy[-1] - result.params / 1e6\n")
    options = "--reward rew.py:small --images 100 --epochs 1 --trials 2 --workers 0 --device cpu"
    said = typed(f"search chain {options} --out own").out
    assert " finish own --no-random    " in said
    status, out, err = typed("finish own --data nowhere")  # whatever is wrong with the images comes later
    assert (status, out) == (2, "")
    assert "own: found a search with the reward rew.small, which is code of your own that its ledger lacks" in err
    assert "give --no-random" in err
    assert not (tmp_path / "own" / "finish").exists()
    assert "found 'nowhere'" in typed("finish own --no-random --data nowhere").err


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of one network, with another controller than random."""
    folder = tmp_path_factory.mktemp("searches") / "one"
    for _ in search(Chain(), LocalSearch, load("digits", images=100), folder, trials=1, device="cpu", pool=Serial):
        pass
    return folder
