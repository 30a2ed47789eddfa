"""A network as a torch.export program: written, held against it, and read back as a module.

Reading one can run code that is in it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from nas.cache import batches
from nas.errors import UserError

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from nas.cache import Pixels
    from nas.model.saved import Model

TOLERANCE = 1e-4  # of a probability: float32 sums in another order differ by a hundredth of it
M = TypeVar("M", bound=nn.Module)
Run = Callable[[Tensor], Tensor]  # uint8 (N, C, H, W) to logits (N, K)


def of_whole(model: Model) -> ExportedProgram:
    """The whole as a program, from "images" uint8 (N, C, H, W) to logits, for any N, H and W, on a CPU.

    Raises UserError for what torch.export cannot write.
    """
    from torch.export import Dim

    example = torch.zeros(2, model.images.channels, 5, 7, dtype=torch.uint8)
    return _exported(_on_cpu(model.whole), example, {0: Dim("batch"), 2: Dim("height"), 3: Dim("width")})


def stored(program: ExportedProgram, model: Model) -> bytes:
    """A program as the bytes of a .pt2 file, with the names of the classes in it as classes.json."""
    buffer = io.BytesIO()
    with quietly(), _frozen(program):
        torch.export.save(program, buffer, extra_files={"classes.json": json.dumps(model.classes)})
    return buffer.getvalue()


def of_module(model: Model) -> ExportedProgram:
    """The module alone as a program, from float (N, C, S, S), normalised, to logits, for any N; raises UserError."""
    from torch.export import Dim

    size = model.network.input_size
    return _exported(
        _Alone(_on_cpu(model.module)), torch.zeros(2, model.images.channels, size, size), {0: Dim("batch")}
    )


def as_module(content: bytes) -> nn.Module:
    """The module of a .pt2 file, in the parts that it was made of; raises whatever torch does. Runs what is in it."""
    with quietly():
        module: nn.Module = torch.export.unflatten(torch.export.load(io.BytesIO(content)))
    return module


def runs_whole(content: bytes) -> Run:
    """What runs the bytes of a program `of_whole`."""
    with quietly():
        run: Run = torch.export.load(io.BytesIO(content)).module()
    return run


def runs_module(content: bytes, model: Model) -> Run:
    """What runs the bytes of a program `of_module`, after what comes before the module."""
    alone, ready = as_module(content), _on_cpu(model.whole).ready
    return lambda images: alone(ready(images))


def difference(run: Run, model: Model, pixels: Pixels) -> float:
    """By how much a probability differs at most from the model's on a CPU. pixels: uint8 (N, C, H, W), N at least 1."""
    whole = _on_cpu(model.whole)
    with torch.no_grad():
        apart = [
            (run(part).double().softmax(1) - whole(part).double().softmax(1)).abs().max()
            for part in map(torch.from_numpy, batches(pixels))
        ]
    return float(torch.stack(apart).max())


@contextlib.contextmanager
def _frozen(program: ExportedProgram) -> Iterator[None]:
    """Its weights as those of what is used and not trained, so that what it gives can be had in numpy."""
    learnt = [weight for weight in program.parameters() if weight.requires_grad]
    for weight in learnt:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in learnt:
            weight.requires_grad_(True)


class _Alone(nn.Module):
    """A module with one input by name, which one that was a program does not have."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """As the module does."""
        logits: Tensor = self.network(images)
        return logits


def _on_cpu(module: M) -> M:
    """The module, or its copy if it is elsewhere; a module that was a program cannot be copied."""
    elsewhere = any(weight.device.type != "cpu" for weight in module.parameters())
    return copy.deepcopy(module).cpu().eval() if elsewhere else module.eval()


def _exported(module: nn.Module, example: Tensor, sizes: dict[int, Any]) -> ExportedProgram:
    try:
        with quietly(), torch.no_grad():
            return torch.export.export(module, (example,), dynamic_shapes=(sizes,))
    except Exception as error:  # of torch.export, or of what it runs of the user's
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UserError(
            f"found a network that torch.export cannot write as a program ({type(error).__name__}: {reason}), expected "
            "tensor operations alone that do not depend on the values, for any number of images; change the block"
        ) from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what torch's exporters say: they log whole graphs, and warn of their own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
