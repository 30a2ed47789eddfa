"""What is installed, and how it gets on with a user's own folders of the same names."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = """
from nas import Block, Choice, Network, Pick, Space
from beside import WIDTHS

class Small(Space):
    width = Choice(*WIDTHS)

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width)),))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and unpacked."""
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(place), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = place.glob("nas_rl-*.whl")
    zipfile.ZipFile(wheel).extractall(place / "site")
    return place / "site"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A user's folder whose names are the toolkit's."""
    for name in ("controllers", "search_spaces", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "reinforce.py").write_text("raise RuntimeError('the wrong one')")
    (tmp_path / "benchmarks.py").write_text("raise RuntimeError('the wrong one')")
    (tmp_path / "beside.py").write_text("WIDTHS = (4, 8)")
    (tmp_path / "mine.py").write_text(SMALL)
    (tmp_path / "search_spaces" / "own.py").write_text(SMALL)
    return tmp_path


def nas(site: Path, users: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-m", "nas", *words], cwd=users, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_the_four_packages_and_the_command(site: Path) -> None:
    packages = {path.parent.name for path in site.glob("*/__init__.py")}
    assert packages == {"nas", "search_spaces", "controllers", "benchmarks"}
    assert {path.suffix for path in (site / "nas" / "pages").iterdir()} == {".py", ".html", ".css", ".js"}
    (entries,) = site.glob("*.dist-info/entry_points.txt")
    assert "nas = nas.__main__:main" in entries.read_text()


def test_it_finds_its_own_packages_in_a_folder_that_has_their_names(site: Path, users: Path) -> None:
    assert "reinforce" in nas(site, users, "controllers")
    assert "metaqnn" in nas(site, users, "spaces")


@pytest.mark.parametrize(
    "space", ["mine.py:Small", "mine:Small", "search_spaces/own.py:Small", "search_spaces.own:Small"]
)
def test_it_finds_the_users_modules_there(site: Path, users: Path, space: str) -> None:
    assert "2 networks" in nas(site, users, "check", space)


def test_ray_workers_find_the_users_modules_and_the_toolkits_packages(site: Path, users: Path) -> None:
    words = ["search", "mine.py:Small", "--trials", "2", "--workers", "1", "--images", "100"]
    assert "all 2 trials are done" in nas(site, users, *words)
