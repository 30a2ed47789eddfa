"""How many share a GPU, and MPS: what of it can be seen on a machine without one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.errors import UserError
from nas.gpu import DAEMON, MOST, PIPES, Sharing, mps

TOOLKIT = Path(__file__).parents[2]


def told(sharing: Sharing, seconds: dict[int, float], peak: int = 2**20, children: int = 200) -> list[int]:
    """The levels after so many children of equal work, each of which takes so many seconds at each level."""
    levels = []
    for _ in range(children):
        sharing.done(1.0, seconds[sharing.level], peak, sharing.level)
        levels.append(sharing.level)
    return levels


def found(free: int = 2**34) -> Sharing:
    sharing = Sharing()
    sharing.found(free)
    return sharing


def test_the_first_children_run_alone_then_two_then_four_then_eight() -> None:
    levels = told(found(), dict.fromkeys((1, 2, 4, 8), 1.0))
    assert list(dict.fromkeys(levels)) == [1, 2, 4, 8]
    assert [levels.index(level) for level in (2, 4, 8)] == [1, 5, 13]  # after 2, 2 + 4, 2 + 4 + 8 children
    assert levels[-1] == MOST


def test_twice_as_many_that_get_hardly_more_done_are_half_again() -> None:
    levels = told(found(), {1: 1.0, 2: 1.2, 4: 2.3})  # 1 a second, 1.67, 1.74
    assert list(dict.fromkeys(levels)) == [1, 2, 4]
    assert levels[-1] == 2


def test_children_that_would_not_fit_are_not_tried() -> None:
    assert told(found(free=2**30), dict.fromkeys((1, 2), 1.0), peak=2**29)[-1] == 1


def test_what_began_beside_fewer_is_not_measured() -> None:
    sharing = found()
    for _ in range(100):
        sharing.done(1.0, 1.0, 0, beside=3)
    assert sharing.level == 1


def test_a_number_that_is_wanted_stays() -> None:
    sharing = Sharing(3)
    sharing.found(2**34)
    assert set(told(sharing, {3: 1.0})) == {3}


@pytest.mark.parametrize("wanted", [0, -1, 49, 1_000_000])
def test_a_number_that_no_gpu_takes_is_refused(wanted: int) -> None:
    with pytest.raises(UserError, match=f"--per-gpu: found {wanted}, expected 1 to 48"):
        Sharing(wanted)


@pytest.mark.parametrize("wanted", [None, 8])
def test_half_as_many_run_where_one_of_them_found_no_room(wanted: int | None) -> None:
    sharing = Sharing(wanted)
    sharing.found(2**34)
    told(sharing, dict.fromkeys((1, 2, 4, 8), 1.0))
    assert sharing.crowded(8)
    assert sharing.level == 4
    assert not sharing.crowded(8)  # one that began while there were eight
    assert sharing.crowded(3)
    assert sharing.crowded(2) is False
    assert sharing.level == 1
    assert set(told(sharing, {1: 1.0})) == {1}  # for good


def test_memory_that_others_took_is_told_from_ones_own() -> None:
    sharing = found(free=10 * 2**30)
    assert sharing.taken(9 * 2**30) == 0  # contexts of this pool's workers
    assert sharing.taken(5 * 2**30) == 5 * 2**30


def test_without_its_daemon_there_is_no_mps_and_the_environment_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(PIPES, raising=False)
    with mps() as why:
        assert why == f"found no {DAEMON}"
        assert PIPES not in os.environ


DAEMONS_STAND_IN = """#!/bin/sh
# Runs while the file is there, and notes what it is told.
up="$CUDA_MPS_PIPE_DIRECTORY/up"
if [ "$1" = -d ]; then echo start >> "$TOLD"; touch "$up"; exit; fi
read word; echo "$word" >> "$TOLD"
[ "$word" = quit ] && rm "$up"
[ "$word" = quit ] || [ -e "$up" ]
"""


def stands_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str = DAEMONS_STAND_IN) -> None:
    """This daemon is the one that is found, with a folder of its own; no keeper runs another."""
    daemon = tmp_path / DAEMON
    daemon.write_text(script)
    daemon.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(PIPES, raising=False)


def test_a_link_in_place_of_the_folder_of_mps_is_not_followed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / DAEMON).write_text(DAEMONS_STAND_IN)
    (tmp_path / DAEMON).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"nas-mps-{os.getuid()}").symlink_to("elsewhere")
    monkeypatch.delenv(PIPES, raising=False)
    with mps() as why:
        assert why.endswith("is another user's, or a link")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("there", "found"),
    [("file", "File exists"), ("dangling", "File exists"), ("nowhere", "No such file or directory")],
)
def test_where_the_folder_of_mps_cannot_be_made_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: str, found: str
) -> None:
    (tmp_path / DAEMON).write_text(DAEMONS_STAND_IN)
    (tmp_path / DAEMON).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none" if there == "nowhere" else tmp_path))
    folder = tmp_path / f"nas-mps-{os.getuid()}"
    if there == "file":
        folder.touch()
    if there == "dangling":
        folder.symlink_to("none")
    monkeypatch.delenv(PIPES, raising=False)
    with mps() as why:
        assert why.endswith(f": {found}")


def test_where_no_context_opens_through_mps_it_is_stopped_and_the_environment_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stands_in(monkeypatch, tmp_path)
    with mps() as why:
        assert why.startswith("no context could be opened through it (")
        assert PIPES not in os.environ
        with mps():  # of another search: the daemon that answers is used, and stays
            pass
        assert (tmp_path / "told").read_text().split() == ["get_server_list", "start", "get_server_list"]
        assert (tmp_path / f"nas-mps-{os.getuid()}").is_dir()
    assert (tmp_path / "told").read_text().split()[-1] == "quit"
    assert not (tmp_path / f"nas-mps-{os.getuid()}").exists()


def test_a_daemon_that_another_search_started_at_the_same_moment_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stands_in(monkeypatch, tmp_path, DAEMONS_STAND_IN.replace('touch "$up"; exit;', 'touch "$up"; exit 1;'))
    with mps() as why:
        assert why.startswith("no context could be opened through it (")  # and not that it did not start
    assert (tmp_path / "told").read_text().split() == ["get_server_list", "start", "get_server_list", "quit"]


def test_a_daemon_that_others_keep_is_left_to_them_and_must_open_contexts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PIPES, str(tmp_path))
    with mps() as why:
        assert why.startswith("no context could be opened through it (")  # for there is none behind it
    assert os.environ[PIPES] == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_daemon_ends_with_a_search_that_was_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stands_in(monkeypatch, tmp_path)
    holds = "import tempfile, time; from nas.gpu import mps\n"
    holds += f"tempfile.tempdir = {str(tmp_path)!r}\nwith mps(): print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", holds], cwd=TOOLKIT, stdout=subprocess.PIPE) as search:
        assert search.stdout is not None
        search.stdout.readline()
        search.kill()
    until = time.monotonic() + 60
    while (tmp_path / f"nas-mps-{os.getuid()}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert (tmp_path / "told").read_text().split()[-1] == "quit"
