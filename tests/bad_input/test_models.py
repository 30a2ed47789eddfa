"""Folders of models, images and files that `nas predict`, `nas export` and `nas explain` cannot use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nas.blocks import Block
from nas.model.saved import Model, save
from nas.network import Images, Network


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.special.bessel_j0(x)
        return out


def bessel(block: Block, channels: int) -> nn.Module:
    return Bessel()


def kept(folder: Path, *blocks: Block) -> None:
    network, images = Network(8, blocks), Images(8, 1, 3)
    save(
        Model(network, network.module(images), images, ("a", "b", "c"), (0.3,), (0.4,)), folder, {"data": "digits"}, ""
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with a model and a letter in it; `refused` runs there."""
    kept(tmp_path / "model", Block("conv", 2))
    (tmp_path / "letter.png").write_text("dear")
    return tmp_path


def spoil(path: Path, how: str) -> None:
    """Make a file what it should not be."""
    if how == "gone":
        path.unlink()
    elif how == "torn":
        path.write_bytes(path.read_bytes()[:-9])
    elif how == "other":
        path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("command", ["predict model letter.png", "export model --torch a.pt2", "explain model"])
@pytest.mark.parametrize(
    ("name", "how", "piece"),
    [
        ("network.json", "gone", "found no network.json"),
        ("network.json", "torn", "network.json: found it damaged"),
        ("weights.safetensors", "gone", "weights.safetensors: found nothing there, expected"),
        ("weights.safetensors", "torn", "weights.safetensors: found other content"),
        ("weights.safetensors", "other", "weights.safetensors: found other content"),
    ],
)
def test_a_spoilt_model_is_refused(
    command: str, name: str, how: str, piece: str, folder: Path, refused: Callable[..., None]
) -> None:
    spoil(folder / "model" / name, how)
    refused(command, piece)


@pytest.mark.parametrize(
    ("command", "piece"),
    [
        ("predict gone letter.png", "gone: found no network.json, expected the folder of a model"),
        ("predict model gone.png", "; mend the paths where nothing is, or leave them out:…gone.png: nothing there"),
        ("predict model letter.png", "found no image in 1 of 1 files…letter.png: a text, no image"),
        ("predict model letter.png --top 0", "top"),
        ("predict model letter.png --device tpu", "found 'tpu'…expected auto, cpu or cuda"),
        ("export model", "found nothing to write, expected --onnx FILE, --torch FILE, …"),
        ("export model --onnx a.bin", "--onnx: found 'a.bin', expected a name that ends in .onnx"),
        ("export model --torch a.onnx", "--torch: found 'a.onnx', expected a name that ends in .pt2"),
        (
            "export model --torch a.pt2 --image letter.png",
            "letter.png: found a text, no image that can be read, expected an image, JPEG",
        ),
        ("export model --torch a.pt2 --data digits", "digits: found 10 classes and 1 channels, expected 3 and 1"),
        ("export model --torch letter.png/a.pt2 --image model", "found no image in it"),
        ("explain model --on train", "--on: found 'train', expected validation or test"),
        ("explain model", "digits: found 10 classes and 1 channels, expected 3 and 1"),
        ("explain model --data digit", "found 'digit'; did you mean digits?"),
    ],
)
def test_what_cannot_be_done_is_said(command: str, piece: str, folder: Path, refused: Callable[..., None]) -> None:
    refused(command, piece)


@pytest.mark.parametrize(
    ("metrics", "piece"),
    [
        ('{"data": "digits", "trained_on": 5}', "trained_on is 5"),
        ('{"data": "digits", "trained_on": "valid"}', "trained_on is 'valid'"),
        ('{"data": {"spec": "digits", "images": "x"}}', "data is {'spec': 'digits', 'images': 'x'}"),
        ('{"data": {"spec": "digits", "largest": [1]}}', "data is {'spec': 'digits', 'largest': [1]}"),
        ('{"data": {"spec": "digits", "skip_corrupt": "no"}}', "data is {'spec': 'digits', 'skip_corrupt': 'no'}"),
        ('{"data": {"spec": "digits", "seed": 1}}', "data is {'spec': 'digits', 'seed': 1}"),
        ('{"data": {"images": 5}}', "data is {'images': 5}"),
        ('{"data": 7}', "data is 7"),
    ],
)
def test_figures_that_no_finish_writes_are_refused(
    metrics: str, piece: str, folder: Path, refused: Callable[..., None]
) -> None:
    (folder / "model" / "metrics.json").write_text(metrics)
    refused("explain model", f"metrics.json: found it damaged ({piece}), expected what `nas finish` writes there")


def test_a_network_of_ones_own_is_not_run_untold_and_its_block_is_named(
    tmp_path: Path, refused: Callable[..., None]
) -> None:
    kept(tmp_path / "model", Block("conv", 2), Block(bessel))
    refused("predict model .", "can run code when it is read, expected to be told that you trust it")
    refused("export model --trust --onnx a.onnx", "found block 2 (test_models.bessel) that ONNX cannot express (No")
