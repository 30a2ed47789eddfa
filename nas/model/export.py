"""A model as a file for other programs: a torch.export program or ONNX, held against the model on real images.

Both take "images", uint8 (N, C, H, W) of any number and size, and give "logits" (N, K); resizing and normalisation are
inside. In ONNX the free axes are called "batch", "height" and "width". A file appears under its name once its
probabilities were found equal to the model's, to within `TOLERANCE`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nas.cache import Pixels
from nas.errors import UserError
from nas.model import program
from nas.model.program import TOLERANCE, Run
from nas.whole import whole_file

if TYPE_CHECKING:
    from onnx import ModelProto

    from nas.model.saved import Model

AXES = ("batch", "channels", "height", "width")  # of images


def to_torch(model: Model, file: Path, pixels: Pixels) -> float:
    """Write the model as a torch.export program; the largest difference of a probability on these images.

    pixels: uint8 (N, C, H, W), N at least 1. The model is one on the CPU.
    Raises UserError if it cannot be written as one, or if a difference is above `TOLERANCE`: then there is no file.
    """
    content = program.stored(program.of_whole(model), model)
    return _kept(model, file, content, program.runs_whole(content), pixels)


def to_onnx(model: Model, file: Path, pixels: Pixels) -> float:
    """The same as ONNX, with weights and the names of the classes inside, run by ONNX Runtime."""
    content = _as_onnx(model)
    return _kept(model, file, content, _run_onnx(content), pixels)


def _kept(model: Model, file: Path, content: bytes, run: Run, pixels: Pixels) -> float:
    """Write the content if what runs it says the same as the model."""
    worst = program.difference(run, model, pixels)
    if not worst <= TOLERANCE:
        raise UserError(
            f"{file}: found probabilities that differ from the model's by up to {worst:.2g}, expected at most "
            f"{TOLERANCE:g}; nothing was written: use the other format, or model.pt2 of the model's folder"
        )
    with whole_file(file, "to write there; name another file") as unfinished:
        unfinished.write_bytes(content)
    return worst


def _run_onnx(content: bytes) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        return torch.from_numpy(logits)

    return run


def _as_onnx(model: Model) -> bytes:
    exported = program.of_whole(model)
    try:
        with program.quietly():
            made = torch.onnx.export(
                exported, dynamo=True, verbose=False, input_names=["images"], output_names=["logits"]
            )
    except torch.onnx.OnnxExporterError as error:
        why = _innermost(error)
        raise UserError(
            f"found {_lacking(model, why)} that ONNX cannot express ({why}), expected operations that it has; export "
            "with --torch instead, or search without it"
        ) from error
    assert made is not None
    made.model.metadata_props["classes"] = json.dumps(model.classes)
    written = made.model_proto
    _name_axes(written)
    content: bytes = written.SerializeToString()
    return content


def _name_axes(written: ModelProto) -> None:
    """Call what is free of the images' shape by its name, wherever it occurs; torch.export numbers it: s34."""
    dims = written.graph.input[0].type.tensor_type.shape.dim
    known = {dim.dim_param: name for dim, name in zip(dims, AXES, strict=True) if dim.dim_param}
    for value in (*written.graph.input, *written.graph.output, *written.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda found: known.get(found[0], found[0]), dim.dim_param)


def _innermost(error: BaseException) -> str:
    """The first line of what began it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().splitlines()[0].partition(". Failure")[0]


def _lacking(model: Model, why: str) -> str:
    """The first part of the network that by itself cannot be written for the same reason, by its place and name."""
    for name, part, shape in _parts(model):
        try:
            with program.quietly(), torch.no_grad():
                torch.onnx.export(part, (torch.zeros(shape),), dynamo=True, verbose=False)
        except torch.onnx.OnnxExporterError as error:
            if _innermost(error) == why:
                return name
    return "a network"


def _parts(model: Model) -> list[tuple[str, nn.Module, tuple[int, ...]]]:
    """The blocks of a network, or the parts of a module of one's own, each with the shape of what it is given."""
    module, size = model.module, model.network.input_size
    every = [part for name, part in module.named_modules() if name.rpartition(".")[2] == "stages"]
    children = list((every[0] if every else module).named_children())
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def see(part: nn.Module, given: tuple[Tensor, ...]) -> None:
        shapes[part] = tuple(given[0].shape)

    hooks = [child.register_forward_pre_hook(see) for _, child in children]
    with torch.no_grad():
        module(torch.zeros(1, model.images.channels, size, size))
    for hook in hooks:
        hook.remove()
    return [(_called(model, name, child), child, shapes[child]) for name, child in children if child in shapes]


def _called(model: Model, name: str, part: nn.Module) -> str:
    """ "block 2 (mine.bessel)" of a network of blocks, else the part's name and class."""
    written = getattr(model.network, "written", "")
    blocks = written.split(": ", 2)[2].split("; ") if written.count(": ") > 1 else []
    if name.isdecimal() and int(name) < len(blocks):
        return f"block {int(name) + 1} ({blocks[int(name)]})"
    return f"the part {name} ({type(part).__name__})"
