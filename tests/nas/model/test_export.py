from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from nas.blocks import Block
from nas.data import Data
from nas.errors import UserError
from nas.model.export import to_onnx, to_torch
from nas.model.predict import probabilities
from nas.model.saved import Model
from nas.network import Network

EVERYTHING = Network(
    12,
    (
        Block("conv", 8, squeeze=4), Block("separable", 8, kernel=5, stride=2), Block("inverted", 8, expansion=2),
        Block("attention", 8), Block("bottleneck", 8), Block("dilated", 8), Block("avg_pool", inputs=(1,)),
        Block("max_pool", kernel=2, stride=2), Block("identity", inputs=(6, 8)), Block("dense", 16, dropout=0.5),
    ),
)  # fmt: skip


class Uneven(nn.Module):
    """Another function in every process that runs it: a program keeps what it was at first."""

    times = 0

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        Uneven.times += 1
        logits: Tensor = self.part(x)
        return logits * Uneven.times


def test_onnx_says_what_the_model_says(model: Model, digits: Data, tmp_path: Path) -> None:
    pixels = np.array(digits.pixels[digits.valid])
    assert to_onnx(model, tmp_path / "new" / "model.onnx", pixels) < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "new" / "model.onnx", providers=["CPUExecutionProvider"])
    for images in (pixels[:1], pixels[:7], np.random.default_rng(0).integers(0, 256, (3, 1, 13, 10), np.uint8)):
        (logits,) = session.run(["logits"], {"images": images})
        assert torch.allclose(torch.from_numpy(logits), model.logits(torch.from_numpy(images)), atol=1e-4)
    kept = {one.key: one.value for one in onnx.load(tmp_path / "new" / "model.onnx").metadata_props}
    assert json.loads(kept["classes"]) == list(digits.classes)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]


def test_every_built_in_block_is_onnx_with_its_axes_named(
    trained: Callable[..., Model], digits: Data, tmp_path: Path
) -> None:
    assert to_onnx(trained(EVERYTHING), tmp_path / "model.onnx", np.array(digits.pixels[:20])) < 1e-5
    graph = onnx.load(tmp_path / "model.onnx").graph
    found = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output, *graph.value_info)
    }
    assert found["images"] == ["batch", 1, "height", "width"]
    assert found["logits"] == ["batch", 10]
    assert set(re.findall(r"[a-z]\w*", str(found.values()))) == {"dict_values", "batch", "height", "width"}


def test_a_program_says_what_the_model_says(model: Model, digits: Data, tmp_path: Path) -> None:
    pixels = np.array(digits.pixels[digits.valid])
    assert to_torch(model, tmp_path / "model.pt2", pixels) < 1e-6
    names = {"classes.json": ""}
    program = torch.export.load(tmp_path / "model.pt2", extra_files=names)
    found = program.module()(torch.from_numpy(pixels)).double().softmax(1).detach().numpy()
    assert np.abs(found - probabilities(model, pixels)).max() < 1e-6
    assert json.loads(names["classes.json"]) == list(digits.classes)


def test_a_file_that_says_something_else_is_not_kept(model: Model, digits: Data, tmp_path: Path) -> None:
    uneven = replace(model, module=Uneven(model.module))
    with pytest.raises(UserError, match=r"found probabilities that differ from the model's by up to 0\.\d+, expected"):
        to_torch(uneven, tmp_path / "model.pt2", np.array(digits.pixels[:5]))
    assert list(tmp_path.iterdir()) == []
