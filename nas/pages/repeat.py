"""How to repeat a search: the command that its ledger's header stands for, and what else it is a function of."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas import names, recorded
from nas.ledger import FILE, unsealed
from nas.model import EXPLAINED, EXPLANATION, METRICS, MODEL, NETWORK
from nas.model.lines import FILE as TRAININGS
from nas.model.lines import FOLDER as FINISH
from nas.model.lines import RANDOM
from nas.pages.model import figures
from nas.plot import Header
from nas.recipe import named
from nas.reward import PRICES, REWARDS
from nas.search import IF_ANY
from nas.space import Limit
from nas.stop import RULES


def conditions(header: Header) -> list[tuple[str, str]]:
    """What the search is a function of, beside what its command says, and with what it was begun."""
    records = {name: header.get(name) for name in ("code", "versions")}
    return [
        ("images", f"{header['training']:,} to train on, {header['validation']:,} for validation"),
        ("their fingerprint", header["fingerprint"]),
        ("recipe", ", ".join(f"{name} {value}" for name, value in header["recipe"].items())),
        *((name, ", ".join(f"{part} {value}" for part, value in of.items() if value))
          for name, of in records.items() if isinstance(of, Mapping)),
    ]  # fmt: skip


def command(folder: Path, header: Header, trials: int) -> str:
    """What to type for the same search of so many trials, as far as its header tells; a line for each of its lengths.

    It writes a folder of this one's name, in runs. One's own code is named by its module, and is looked for in the
    folder where one is.
    """
    words = ["nas", "search", _own_space(header) or _called(header["space"], names.spaces())]
    words += ["--out", _place(folder)]
    words += ["--controller", controller(header), "--data", header["data"]]
    words += [*_loading(header), "--seed", str(header["seed"]), "--window", str(header["window"])]
    words += ["--recipe", named(header["recipe"]), "--reward", reward(header)]
    for name, value in header["parameters"].items():
        words += ["--set", f"{name}={value}"]
    for name, limit in (header.get("limits") or {}).items():
        words += ["--limit", f"{name}={Limit(*limit)}"]
    for name in ("child_timeout", *IF_ANY):  # options whose field has their name
        words += [] if header.get(name) is None else [f"--{name.replace('_', '-')}", str(header[name])]
    words += ["--stop", _called(header["stop"], RULES)] if header.get("stop") else []
    lengths = [header["length"], *([trials] if trials > header["length"] else [])]  # what was added later
    return "\n".join(shlex.join([*words, "--trials", str(length)]) for length in lengths)


def _place(folder: Path) -> str:
    """Where the commands write, as searches do that are told no place: a folder of images may have this one's name."""
    return f"runs/{folder.resolve().name}"


def _own_space(header: Header) -> str:
    """A space of one's own as it is typed; empty for a built-in one."""
    return "" if recorded.is_built_in(header) else recorded.as_typed(header)


def _loading(header: Header) -> list[str]:
    """How the images were loaded. Older headers do not say: there it is all images that a built-in data set had."""
    loaded = header.get("loaded")
    if not loaded:
        count = header["training"] + header["validation"]
        return [] if ":" in header["data"] else ["--images", str(count)]
    counts = {"--images": loaded["images"], "--image-size": loaded["image_size"]}
    words = [word for name, count in counts.items() if count is not None for word in (name, str(count))]
    return words + ["--skip-corrupt"] * loaded["skip_corrupt"]


def finishing(folder: Path, header: Header) -> str:
    """What to type for the same model in this search's folder, as far as the model tells; a line for each command."""
    found = figures(folder / MODEL / METRICS)
    recipe, seeds, ranked = (found.get(name) for name in ("recipe", "seeds", "ranking"))
    if not (isinstance(recipe, dict) and isinstance(seeds, int) and isinstance(ranked, list)):
        return ""
    name = _place(folder)
    words = ["nas", "finish", name, "--top", str(len(ranked)), "--seeds", str(seeds)]
    words += ["--epochs", str(recipe.get("epochs")), "--flip" if recipe.get("flip") else "--no-flip"]
    words += ["--space", own] if (own := _own_space(header)) else []
    if not found.get("random"):
        words.append("--no-random")
    elif not (folder / FINISH / RANDOM / FILE).is_file():
        words += ["--baseline", _baseline(folder)]
    explained = figures(folder / MODEL / EXPLAINED / EXPLANATION).get("of", "")
    on = [part for part in ("validation", "test") if f" {part} images of " in str(explained)]
    trust = ["--trust"] * (
        figures(folder / MODEL / NETWORK).get("network", "") is None
    )  # blocks that are code of its space
    lines = [words, *[["nas", "explain", name, "--on", part, *trust] for part in on[:1]]]
    return "\n".join(shlex.join(line) for line in lines)


def _baseline(folder: Path) -> str:
    """Where the random search lies that the finish was given, by its header; "FOLDER" where that does not say."""
    try:
        with (folder / FINISH / TRAININGS).open("rb") as file:
            given = unsealed(file.readline(5_000_000).rstrip(b"\n")).get("random")
    except (OSError, ValueError, RecursionError):
        return "FOLDER"
    return given if isinstance(given, str) else "FOLDER"


def reward(header: Header) -> str:
    """A search's reward as it is typed."""
    written = header["reward"]
    price = PRICES.get(written.partition("(")[0].lower())
    if price is None:
        return next((typed for typed, of in REWARDS.items() if of.__name__ == written), _called(written, PRICES))
    typed, _, given = _called(written, PRICES).partition(":")
    pairs = [part.partition("=") for part in given.split(",")]
    own = [f"{name}={_short(value)}" for name, _, value in pairs if value != str(getattr(price, name, None))]
    return f"{typed}:{','.join(own)}" if own else typed


def _short(number: str) -> str:
    """ "1e6" of "1000000.0"; what is no number, or would lose digits, stays as it is."""
    try:
        short = f"{float(number):g}".replace("e+0", "e").replace("e+", "e")
    except ValueError:
        return number
    return short if float(short) == float(number) else number


def controller(header: Header) -> str:
    """A search's controller as it is typed."""
    return _called(header["controller"], names.controllers())


def _called(written: str, known: Mapping[str, type[Any]]) -> str:
    """ "metaqnn:depth=6" of "MetaQnn(depth=6)"; of one's own "mine.Rule(first=2)" becomes "mine:Rule:first=2"."""
    name, given = recorded.called(written)
    typed = next((typed for typed, kind in known.items() if kind.__name__ == name), None)
    parts = ",".join(part.strip() for part in given.replace("'", "").split(",") if part.strip())
    if typed is None:
        module, _, own = name.rpartition(".")
        return f"{module}:{own}" + f":{parts}" * bool(parts) if module else written
    return f"{typed}:{parts}" if parts else typed
