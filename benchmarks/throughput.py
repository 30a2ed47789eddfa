"""How many children an hour are trained, here and with Ray Tune and Optuna: `python -m benchmarks.throughput --help`.

    python -m benchmarks.throughput --data cifar10 --out throughput.md

All ways of `benchmarks.ways` train the same children for as many epochs on the same images, one after the other, each
in a process of its own. Time runs from the first child's begin to the last one's end: what libraries, Ray and workers
take to start is in no one's time, and stands beside. Each way first trains one child untimed, so that none is the one
that reads libraries from a cold disk.

What was tried on a CPU (one core of an AMD EPYC with AVX-512 bf16, torch 2.15, one thread, 128 images a step; processor
time in milliseconds on a busy machine, so ratios within a line are what counts):

    kept: bfloat16 autocast, four blocks of 24 to 48 channels       94 -> 54 convolutions, 215 -> 133 residual
    kept: `nas.depthwise` with bfloat16, against torch in float32   52 -> 41 separable 3 × 3, 73 -> 50 separable 5 × 5,
                                                                    112 -> 89 inverted 3 × 3, 156 -> 108 inverted 5 × 5
          (torch's own depthwise convolutions in bfloat16:          73, 165, 187, 366)
    kept: freed memory kept by malloc                               101 -> 88 in float32; in bfloat16 no gain
    kept: images resized as uint8, not as float                     1.8 -> 0.3 to 24 × 24, 8.2 -> 0.7 to 64 × 64
    kept: normalised in one pass, not two                           0.68 -> 0.37
    kept: the optimizer's step fused                                not measured alone; unfused it was 1 % of a step
    not kept: images resized once and held by each worker           0.6 less of a step of 20 to 200; 86 MB a size
    not kept: evaluation in batches of 64 to 1,000, not of 500      within 6 % from 125 on; 64 is 13 % slower
    not kept: inference_mode, not no_grad                           within 5 % either way
    not kept: transparent huge pages for tensors                    no gain beside malloc's
    a loss: bfloat16 with pools or few channels on small maps       average pools 6.0 -> 7.5, 16 channels at 8 × 8
                                                                    residual 8.2 -> 9.3; most children gain, so the
                                                                    rule does not look at them
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console

from benchmarks.processes import command, run
from benchmarks.ways import CHILDREN, Terms, Trained, loaders, ways
from nas.data import Data, load
from nas.errors import UserError
from nas.machine import cores
from nas.network import Images, Network
from nas.recipe import Recipe
from nas.report import checklist, grid, pairs, write_text

RECIPE = Recipe(epochs=2, batch=128, rate=0.1, warmup=0.1)
PAUSE = 0.5  # seconds between two looks at the memory
MIB = 2**20


class Row(NamedTuple):
    """One way."""

    way: str
    startup: float  # seconds until the first child began
    seconds: float  # from then on
    accuracy: float  # mean over children and seeds
    error: float  # its standard error over seeds, each a mean over children
    memory: float  # bytes, of all processes together, at their most
    device_memory: float  # likewise on the GPU; 0 without one
    low: int  # children in bfloat16


def measured(way: str, train: Callable[[Terms], list[Trained]], terms: Terms) -> Row:
    """Train all children in this way, in a process of its own that ends with it."""
    spawning = multiprocessing.get_context("spawn")
    with Memory(terms.device) as memory, ProcessPoolExecutor(1, spawning) as executor:
        asked = time.time()
        done = executor.submit(train, terms).result()
    missing = {*terms.jobs()} - {(one.child, one.seed) for one in done}
    if missing or len(done) != len(terms.jobs()):
        raise UserError(f"{way}: found {len(done)} children trained, expected each of {len(terms.jobs())} once")
    begun, ended = min(one.begun for one in done), max(one.ended for one in done)
    by_seed = [np.mean([one.accuracy for one in done if one.seed == seed]) for seed in range(terms.seeds)]
    error = float(np.std(by_seed, ddof=1)) / math.sqrt(terms.seeds) if terms.seeds > 1 else math.nan
    low = len({one.child for one in done if one.precision == "bfloat16"})
    accuracy = float(np.mean(by_seed))
    return Row(way, begun - asked, ended - begun, accuracy, error, memory.most, memory.most_on_device, low)


# --- memory ---


class Memory:
    """The most memory that the processes begun meanwhile have at once, looked at twice a second."""

    def __init__(self, device: str) -> None:
        self.most = self.most_on_device = 0.0
        self._before = on_device() if device == "cuda" else None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            self.most = max(self.most, sum(map(resident, descendants(multiprocessing.current_process().pid or 0))))
            if self._before is not None:
                self.most_on_device = max(self.most_on_device, on_device() - self._before)


def descendants(parent: int) -> list[int]:
    """The processes that a process has begun, and those that they have."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [parent]
    for one in found:
        found += [process for process, of in parents.items() if of == one]
    return found[1:]


def resident(process: int) -> int:
    """Bytes in memory; what it shares with n - 1 others counts for an n-th (the kernel's Pss)."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def on_device() -> float:
    """Bytes in use on the GPUs, by whomever."""
    words = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return sum(map(float, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())) * MIB


# --- the roofline ---


def traffic(network: Network, images: Images, batch: int) -> float:
    """The bytes that one training step of a network must move at least, with bfloat16 activations.

    A convolution or linear layer with its norm and ReLU counts as one: its output is written and read once forward;
    backward it is read once more, and its gradient written and read once: 5 × 2 bytes a value. The images come and go
    once, as the first layer's input. A weight is read forward and backward as bfloat16, its gradient written and read
    as float32, itself and its momentum read and written: 2 × 2 + 2 × 4 + 4 × 4 bytes.
    """
    import torch
    from torch import nn

    model = network.module(images).eval()
    sizes: list[int] = []
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(lambda _part, _given, out: sizes.append(out.numel()))
    with torch.no_grad():
        model(torch.zeros(1, images.channels, network.input_size, network.input_size))
    pixels = images.channels * network.input_size**2
    weights = sum(weight.numel() for weight in model.parameters())
    return batch * (10.0 * sum(sizes) + 4.0 * pixels) + 28.0 * weights


def bandwidth() -> float:
    """Bytes a second that a copy on the GPU reads and writes, the best of ten."""
    import torch

    one = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(one)
    best = math.inf
    for _ in range(10):
        begun, ended = (torch.Event("cuda", enable_timing=True) for _ in range(2))
        begun.record()
        other.copy_(one)
        ended.record()
        torch.cuda.synchronize()
        best = min(best, begun.elapsed_time(ended) / 1000)
    return 2 * 2**30 / best


def least_seconds(terms: Terms, speed: float) -> float:
    """What all training steps take at least on a GPU with this bandwidth."""
    batch = min(terms.recipe.batch, len(terms.data.train))
    each = sum(traffic(network, terms.data.images, batch) for network in CHILDREN[: terms.children])
    return terms.seeds * terms.recipe.epochs * (len(terms.data.train) // batch) * each / speed


# --- what is shown ---


def steps(terms: Terms) -> int:
    """Training steps of all children together."""
    batch = min(terms.recipe.batch, len(terms.data.train))
    return len(terms.jobs()) * terms.recipe.epochs * (len(terms.data.train) // batch)


def markdown(rows: Sequence[Row], terms: Terms, facts: Mapping[str, Any], speed: float | None = None) -> str:
    """The table, ratios, and what a repetition needs to know. speed: the card's bandwidth, bytes a second."""
    heads = ["way", "children an hour", "steps a second", "accuracy", "GiB", "in bfloat16", "start-up, s"]
    heads += ["GiB on the GPU", "of the roofline"] if speed else []
    table = grid(heads, [_line(row, terms, speed) for row in rows], words=1)
    return "\n\n".join([table, *_ratios(rows), *_said(terms, facts, speed)]) + "\n"


def _line(row: Row, terms: Terms, speed: float | None) -> list[str]:
    line = [
        row.way,
        f"{3600 * len(terms.jobs()) / row.seconds:,.0f}",
        f"{steps(terms) / row.seconds:,.1f}",
        f"{row.accuracy:.4f} ± {row.error:.4f}",
        f"{row.memory / 2**30:.1f}",
        f"{row.low} of {terms.children}",
        f"{row.startup:.1f}",
    ]
    if speed:
        line += [f"{row.device_memory / 2**30:.1f}", f"{100 * least_seconds(terms, speed) / row.seconds:.1f} %"]
    return line


def _ratios(rows: Sequence[Row]) -> Iterator[str]:
    """Ours against the better peer of each kind."""
    own = [row for row in rows if row.way == "ours"]
    for kind in ("documented", "tuned"):
        peers = [row for row in rows if row.way.endswith(kind)]
        if own and peers:
            better = min(peers, key=lambda row: row.seconds)
            yield (
                f"Ours: {better.seconds / own[0].seconds:.2f} × the children an hour of {better.way}, the better of "
                f"these; accuracy {own[0].accuracy - better.accuracy:+.4f}."
            )


def _said(terms: Terms, facts: Mapping[str, Any], speed: float | None) -> Iterator[str]:
    data, recipe, hardware = terms.data, terms.recipe, facts["hardware"]
    yield (
        f"{terms.children} children, {terms.seeds} seeds each, {recipe.epochs} epochs of {len(data.train):,} images of "
        f"{_plainly(data)}, batches of {recipe.batch}, {terms.workers} children at once; accuracy on "
        f"{len(data.valid):,} validation images, with its standard error over seeds. "
        f"DataLoaders have {terms.loaders} workers."
    )
    yield (
        "Time runs from the first child's begin to the last one's end; start-up is what came before. GiB are of all "
        "processes of a way at their most, shared pages counted once."
    )
    if speed:
        yield (
            f"The roofline: a copy on this GPU moves {speed / 1e12:.2f} TB/s; the share is that of the time in which "
            "the bytes could have been moved that activations, gradients and weights need at least."
        )
    yield (
        f"In {facts['wall_seconds']:,.0f} s on {hardware['cpu']}, {hardware['cores']} cores; {pairs(facts['code'])}, "
        f"{pairs(facts['versions'])}, ray {version('ray')}."
    )
    yield f"`{facts['command']}`"


def _plainly(data: Data) -> str:
    """The data's name without this machine's folders."""
    kind, _, path = data.name.partition(":")
    return f"{kind}:{Path(path).name}" if path else kind


# --- the command line ---

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@app.command()
def main(
    data: Annotated[str, typer.Option("--data", "-d", help="As for `nas search`.")] = "cifar10",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    images: Annotated[int, typer.Option(min=1, help="Of the training images, a fifth of them for validation.")] = 5_000,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Images a step.")] = RECIPE.batch,
    seeds: Annotated[int, typer.Option(min=1, help="How often each child is trained.")] = 3,
    children: Annotated[int, typer.Option(min=1, max=len(CHILDREN), help="The first so many.")] = len(CHILDREN),
    workers: Annotated[int | None, typer.Option(min=1, help="Children at once; a core each, or 8 on a GPU.")] = None,
    only: Annotated[list[str] | None, typer.Option("--way", "-w", help="May be repeated; all unless given.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for the table, as Markdown.")] = None,
) -> None:
    """Measure how many children an hour are trained, at what accuracy and in how much memory."""
    begun = time.monotonic()
    at_once = workers or (8 if _known(device) == "cuda" else cores())
    recipe = replace(RECIPE, epochs=epochs, batch=batch)
    terms = Terms(
        load(data, images=images), recipe, children, seeds, device, at_once, loaders(device, cores(), at_once)
    )
    chosen = _chosen(only, terms)
    if out:
        write_text(out, "")
    rows = []
    for way, train in chosen.items():
        err.print(f"{way}: {len(terms.jobs())} children", markup=False)
        measured(way, train, replace(terms, children=1, seeds=1))
        rows.append(measured(way, train, terms))
    facts = checklist(command("throughput").replace(data, _plainly(terms.data)), time.monotonic() - begun)
    text = markdown(rows, terms, facts, bandwidth() if device == "cuda" else None)
    console.print(text, markup=False)
    if out:
        write_text(out, text)


def _known(device: str) -> str:
    if device not in ("cpu", "cuda"):
        raise UserError(f"device: found {device!r}, expected cpu or cuda")
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UserError("device cuda: found no GPU here, expected one; use --device cpu")
    return device


def _chosen(only: Sequence[str] | None, terms: Terms) -> dict[str, Callable[[Terms], list[Trained]]]:
    known = ways(terms)
    for way in only or ():
        if way not in known:
            raise UserError(f"way: found {way!r}, expected one of {'; '.join(known)}")
    return {way: train for way, train in known.items() if not only or way in only}


if __name__ == "__main__":
    run(app, "throughput")
