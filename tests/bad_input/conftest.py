"""What every bad input must come to: one message, exit status 2, nothing written, nothing lost."""

import functools
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from nas import cli, cli_app

Refused = Callable[..., None]


def seen(folder: Path) -> dict[str, object]:
    """All that lies in a folder: what each file has, where each link leads, and None for what is neither."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = path.readlink()
        else:
            found[str(path)] = (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None
    return found


built = functools.cache(typer.main.get_command)  # Typer builds it anew at each call, in a tenth of a second


def holds(text: str, piece: str) -> bool:
    """Whether the text has this piece, in which … stands for anything."""
    return bool(re.search(re.escape(piece).replace("…", ".*"), text, re.DOTALL))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all cases, outside their folders."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Refused]:
    """Run a command in an empty folder, and see that it is refused with one message that has the given piece.

    The words are those of `nas`, or of another program, given with its name. Typer's own usage errors have no "found"
    and "expected": they name the option, and need not be ours.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(words: str | list[str], piece: str, program: typer.Typer = cli_app.app, name: str = "nas") -> None:
        before = seen(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *(shlex.split(words) if isinstance(words, str) else words)])
        with pytest.raises(SystemExit) as end:
            cli.run(built(program), name)
        out, err = capsys.readouterr()
        assert end.value.code == 2, (end.value.code, out, err)
        assert holds(err, piece), err
        assert "Traceback" not in err
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", out + err), (out, err)
        if not err.startswith(("Usage: ", "╭─ Error")):
            assert err.startswith(f"{name}: ")
            assert err.count(f"{name}: ") == 1
            assert "found" in err
            assert "expected" in err
            assert "\n\n" not in err
        assert seen(tmp_path) == before

    yield run
    for name, module in sys.modules.copy().items():
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
