"""Sound inputs, spoilt at random, given to the command line: `python -m benchmarks.fuzz --seconds 600 --seed 0`.

Words of commands, files of arrays, images, ledgers, tables and spaces are made as they should be, changed in a few
places, and read by the command that reads such. It must go well, or end with status 2 and one message that says what
was found and what was expected; whatever else comes of it, a traceback, another status, a death, an escape that reaches
the terminal, or no end within a minute, is printed with its number, which repeats it with `--first NUMBER --most 1` and
the same seed. Each runs in a process of its own, with limited memory.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import importlib
import io
import os
import random
import re
import resource
import shlex
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from benchmarks import compare
from benchmarks.processes import run
from nas import cli, cli_app
from nas.errors import UserError
from nas.ledger import FILE, sealed

LONGEST = 60.0  # seconds that a command may take
MEMORY = 8 * 2**30  # bytes of address space that it may have

SMALL = """from nas import Block, Choice, Network, Pick, Space


class Small(Space):
    width = Choice(2, 4, 8)
    depth = Choice(1, 2, 3)
    kind = Choice("conv", "separable")

    def __init__(self, most: int = 3) -> None:
        self.most = most

    def build(self, pick: Pick) -> Network:
        width, blocks = 0, []
        for layer in range(min(self.most, pick(self.depth))):
            pick.anchor()
            width = pick(self.width, among=[w for w in self.width.options if w >= width], state=(layer, width))
            blocks.append(Block(pick(self.kind), width, stride=1, inputs=(layer,)))
        return Network(8, tuple(blocks), join="add", head="gap")
"""
SEARCH = "search small.py:Small --workers 0 --device cpu --images 40 --trials 1 --epochs 1 --out o --controller random "
WORDS = (
    *(SEARCH + more for more in (
        "--limit depth=1+1/2", "--recipe quick:rate=0.1,flip=true", "--reward accuracy", "--stop halving:factor=2",
        "--preset metaqnn", "--controller evolution:population=9,sample=3", "--controller reinforce --set rate=0.1",
        "--controller q-learning --set replays=3", "--hours 1 --patience 9 --window 2 --unique 1 --child-timeout 60",
        "--data digits --dry-run",
    )),
    "check small.py:Small:most=2 --data digits", "check metaqnn:depth=3", "show a --most 2", "plot a --out a.png",
    "plot a --what health", "compare a --out c --budget 1 --against random", "spaces", "controllers", "presets",
)  # fmt: skip
NASTY = (
    "", " ", "0", "-1", "1e308", "1e999", "nan", "inf", "-inf", "9" * 30, "9" * 5000, "1.5", "true", "none", "\x1b[2J",
    "\n", "é", "猫", "\u202e", "\udcff", "a" * 300, "..", "/", "/dev/null", "~", "~x", "*", ":", "=", ",", "a:b:c",
    "$HOME",
    "-", "--", "small.py", "small.py:", "small.py:Block", "folder:.", "npz:small.py", "csv:small.py", "nas:Space",
    "os:getcwd",
)  # fmt: skip
TOKENS = (
    "0", "-1", "1.5", "10**9", "None", "'conv'", "()", "[]", "{}", "float('nan')", "self", "pick", "width", "blocks",
    "self.width", "self.kind", "Block", "Network", "Choice()", "lambda: 0", "True", "10**30", "'\\x1b[2J'", "object()",
    "1 / 0",
)  # fmt: skip

VALUES = (
    b"null", b"0", b"-1", b"0.5", b"1e999", b"NaN", b'""', b"[]", b"[[1]]", b"[1.5]", b"{}", b'{"a": {"b": []}}',
    b"true",
    b'"\\u001b[2J"', b'"\\ud800"', b'"$\\\\frac{"', b'"network 1: : "', b'"' + b"a" * 9999 + b'"', b"9" * 30,
)  # fmt: skip
HEADER = {
    "format": 1, "space": "Chain()", "choices": {"width": ["16", "32"]}, "limits": {"depth": [6, 2, 9]},
    "controller": "RandomSearch", "parameters": {"rate": 0.1}, "data": "digits", "training": 80, "validation": 20,
    "fingerprint": "cafe", "recipe": {"epochs": 1, "rate": 0.2}, "reward": "accuracy", "seed": 0, "threads": 1,
    "child_timeout": None, "window": 8, "length": 2,
}  # fmt: skip
TRIAL = {
    "trial": 0, "answers": [1], "key": "beef", "network": "network 1: 8 concat gap: conv width=4", "reward": 0.5,
    "error": None, "same_as": None, "at": 1.5, "figures": {"entropy": 0.5}, "accuracy": [0.5], "loss": [1.0],
    "params": 10, "madds": 20, "seconds": 0.5, "memory": None, "precision": "float32",
}  # fmt: skip


class Input(NamedTuple):
    """A command and what it is of: the files that it reads lie in the folder where it is run."""

    words: list[str]
    program: typer.Typer = cli_app.app
    name: str = "nas"


class Outcome(NamedTuple):
    """How a command ended."""

    status: int | None  # minus the signal that ended it; None if it did not end
    out: str
    err: str

    @property
    def wrong(self) -> str:
        """What is wrong with it, in words; empty for nothing."""
        if self.status is None:
            return f"no end within {LONGEST:g} s"
        if "Traceback" in self.err:
            return "a traceback"
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", self.out + self.err):
            return "a control character on the terminal"
        if self.status == 2:
            usage = self.err.startswith(("Usage: ", "╭─ Error")) or not self.err
            return "" if usage or ("found" in self.err and "expected" in self.err) else "no found and expected"
        return "" if self.status == 0 else f"status {self.status}"


# --- inputs ---


def _put(folder: Path) -> None:
    """What lies there soundly, whatever is spoilt."""
    (folder / "small.py").write_text(SMALL)
    (folder / "a").mkdir()
    (folder / "a" / FILE).write_bytes(sealed(HEADER) + sealed(TRIAL))


def arguments(rng: random.Random, folder: Path) -> Input:
    """A command with some words changed."""
    _put(folder)
    words = shlex.split(rng.choice(WORDS))
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(words))
        how = rng.randrange(6)
        if how == 0:
            words[place] = rng.choice(NASTY)
        elif how == 1:
            words.insert(place, rng.choice(NASTY))
        elif how == 2 and len(words) > 1:
            del words[place]
        elif how == 3:
            head, mark, tail = words[place].rpartition(rng.choice("=:,"))
            words[place] = head + mark + (rng.choice(NASTY) if mark else tail)
        else:
            words[place] = os.fsdecode(spoilt(rng, os.fsencode(words[place]))).replace("\0", "")
    return Input(words)


def arrays(rng: random.Random, folder: Path) -> Input:
    """A file of arrays, spoilt."""
    _put(folder)
    file = io.BytesIO()
    save = rng.choice([np.savez, np.savez_compressed])
    save(file, x=np.zeros((12, 3, 3), np.uint8), y=np.array([0, 1] * 6))
    (folder / "mine.npz").write_bytes(spoilt(rng, file.getvalue()))
    return Input([*shlex.split(rng.choice(["check small.py:Small"] * 4 + [SEARCH])), "--data", "npz:mine.npz"])


def images(rng: random.Random, folder: Path) -> Input:
    """A folder of images, one of them spoilt."""
    _put(folder)
    for kind in ("cat", "dog"):
        (folder / "photos" / kind).mkdir(parents=True)
        for number in range(4):
            Image.effect_noise((12, 9), 50).save(folder / "photos" / kind / f"{number}.png")
    one = folder / "photos" / "cat" / f"0.{rng.choice(['png', 'jpg', 'bmp', 'tif', 'webp', 'ppm'])}"
    Image.effect_noise((12, 9), 50).convert(rng.choice(["L", "RGB"])).save(one)
    one.write_bytes(spoilt(rng, one.read_bytes()))
    words = SEARCH.replace("--images 40", rng.choice(["", "--skip-corrupt", "--image-size 5"]))
    return Input([*shlex.split(words), "--data", "folder:photos"])


def ledgers(rng: random.Random, folder: Path) -> Input:
    """A ledger, its bytes spoilt, or its text with a checksum made anew."""
    _put(folder)
    lines = [sealed(HEADER), sealed(TRIAL)]
    if rng.random() < 0.3:
        content = spoilt(rng, b"".join(lines))
    else:
        content = b"".join(_resealed(rng, line) if rng.random() < 0.7 else line for line in lines)
    (folder / "a" / FILE).write_bytes(content)
    return Input(
        shlex.split(rng.choice(["show a"] * 6 + ["plot a", "plot a --what health", "compare a", SEARCH + "--out a"]))
    )


def _resealed(rng: random.Random, line: bytes) -> bytes:
    """A line with a value changed, and the checksum of what it then is."""
    text = line.rpartition(b', "sum": ')[0] + b"}"
    values = list(re.finditer(rb'(?<=: )("[^"]*"|[\d.]+|null|\[[^\]]*\]|\{[^}]*\})', text))
    value = rng.choice(values)
    new = rng.choice(VALUES)
    text = text[: value.start()] + new + text[value.end() :] if rng.random() < 0.8 else spoilt(rng, text)
    return text[:-1] + b', "sum": "%08x"}\n' % zlib.crc32(text)


def tables(rng: random.Random, folder: Path) -> Input:
    """A table, spoilt, and gzipped before or after that, or not."""
    content = b"arch,score\na-a,1\na-b,2\nb-a,3\nb-b,4\n"
    how = rng.randrange(3)
    content = spoilt(rng, gzip.compress(content) if how == 1 else content)
    (folder / "mine.csv").write_bytes(gzip.compress(content) if how == 2 else content)
    words = "csv:mine.csv -c random --seeds 1 --budget 2 --workers 1 --out o"
    return Input(shlex.split(words), compare.app, "compare")


def spaces(rng: random.Random, folder: Path) -> Input:
    """A space with some words or lines of its source changed."""
    _put(folder)
    source = SMALL
    for _ in range(rng.randint(1, 3)):
        lines = source.splitlines(keepends=True)
        words = list(re.finditer(r"[\w.]+|\([^()]*\)", source))
        word, place = rng.choice(words), rng.randrange(len(lines))
        if rng.random() < 0.7:
            source = source[: word.start()] + rng.choice(TOKENS) + source[word.end() :]
        elif rng.random() < 0.5:
            source = "".join(lines[:place] + lines[place + 1 :])
        else:
            source = "".join([*lines[:place], rng.choice(lines), *lines[place:]])
    (folder / "small.py").write_text(source)
    return Input(shlex.split(rng.choice(["check small.py:Small"] * 4 + [SEARCH])))


def spoilt(rng: random.Random, content: bytes) -> bytes:
    """The same with one to four changes."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice([0, 1, 1, 2, 4, 16, 64]))
        part = content[start:end]
        flipped = bytes(byte ^ 1 << rng.randrange(8) for byte in part)
        others = (part * 2, bytes(len(part)), b"\xff" * len(part), rng.randbytes(len(part)), rng.randbytes(3), flipped)
        new = rng.choice((b"", *others))
        content = content[:start] + new + (b"" if rng.random() < 0.1 else content[end:])
    return content


KINDS: dict[str, Callable[[random.Random, Path], Input]] = {
    "arguments": arguments,
    "arrays": arrays,
    "images": images,
    "ledgers": ledgers,
    "tables": tables,
    "spaces": spaces,
}

# --- running them ---


def outcome(given: Input, folder: Path, longest: float = LONGEST) -> Outcome:
    """What comes of a command in that folder, in a process that is this one's copy."""
    texts = folder / "out.txt", folder / "err.txt"
    child = os.fork()
    if child == 0:
        _run(given, folder, *texts)
    status = _wait(child, longest)
    out, err = (text.read_text(errors="replace") for text in texts)
    return Outcome(status, out, err)


def _run(given: Input, folder: Path, out: Path, err: Path) -> None:
    """Run the command, and end this process with its status."""
    status = 1
    try:
        sys.stdout, sys.stderr = out.open("w"), err.open("w", errors="backslashreplace")
        os.dup2(sys.stdout.fileno(), 1)
        os.dup2(sys.stderr.fileno(), 2)
        os.setsid()
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        sys.argv = [given.name, *given.words]
        cli.run(_built(given.program), given.name)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


_built = functools.cache(typer.main.get_command)  # once for all, for that takes a tenth of a second


def _wait(child: int, longest: float) -> int | None:
    """The status of a process that ends in time; one that does not is killed."""
    until = time.monotonic() + longest
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@contextlib.contextmanager
def _prepared() -> Iterator[None]:
    """What commands import is imported once, before this process is copied, and a cache and one thread are set."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as cache:
        os.environ.update(NAS_CACHE=cache, COLUMNS="200", OMP_NUM_THREADS="1")
        for name in ("torch._dynamo", "nas.train", "nas.plot", "nas.search", "sklearn.datasets", "matplotlib.figure"):
            importlib.import_module(name)
        importlib.import_module("nas.data").load("digits")
        yield
    os.environ.clear()
    os.environ.update(before)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    seconds: Annotated[float, typer.Option(min=0, help="How long.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of all inputs; the same numbers are the same inputs.")] = 0,
    first: Annotated[int, typer.Option(min=0, help="The number to begin with.")] = 0,
    most: Annotated[int, typer.Option(min=1, help="How many inputs at most.")] = 10**9,
    kind: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated: " + ", ".join(KINDS))] = None,
) -> None:
    """Spoil inputs at random and say which of them did not end well, nor with one message and status 2."""
    for name in kind or ():
        if name not in KINDS:
            raise UserError(f"kind: found {name!r}, expected one of {', '.join(KINDS)}")
    chosen = [KINDS[name] for name in kind or KINDS]
    until, number = time.monotonic() + seconds, first
    counts: Counter[str] = Counter()
    with _prepared():
        while number < first + most and time.monotonic() < until:
            rng = random.Random(f"{seed} {number}")
            with tempfile.TemporaryDirectory() as place:
                given = rng.choice(chosen)(rng, Path(place))
                done = outcome(given, Path(place))
            counts["went well" if done.status == 0 else "were refused"] += not done.wrong
            if done.wrong:
                counts["are wrong"] += 1
                words = shlex.join([given.name, *given.words])
                console.print(f"number {number}: {done.wrong}: {words!r}\n{done.err[-1500:]!s}", markup=False)
            number += 1
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    console.print(f"{number - first:,} inputs from number {first} on, seed {seed}: {said}")
    if counts["are wrong"]:
        raise typer.Exit(1)


if __name__ == "__main__":
    run(app, "fuzz")
