"""Small networks, trained on the digits for a second or two, and one of them in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nas.blocks import Block
from nas.data import Data, load
from nas.model.saved import Model, save
from nas.modules import initialise
from nas.network import Network
from nas.space import Child

PLAIN = Network(8, (Block("conv", 16), Block("residual", 16, stride=2)))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Data:
    return load("digits")


@pytest.fixture(scope="session")
def trained(digits: Data) -> Callable[..., Model]:
    """A function that trains a network for so many epochs."""

    def train(network: Child, epochs: int = 0) -> Model:
        torch.manual_seed(0)
        module = network.module(digits.images)
        initialise(module, "he")
        model = Model(network, module, digits.images, digits.classes, digits.mean, digits.std)
        pixels, labels = torch.from_numpy(np.array(digits.pixels)), torch.from_numpy(np.array(digits.labels))
        optimizer = torch.optim.SGD(module.parameters(), 0.1, 0.9)
        for batch in torch.from_numpy(np.array(digits.train)).repeat(epochs).split(64):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            F.cross_entropy(module.train()(model.whole.ready(pixels[batch])), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        module.eval()
        return model

    return train


@pytest.fixture(scope="session")
def model(trained: Callable[..., Model]) -> Model:
    return trained(PLAIN, epochs=2)


@pytest.fixture(scope="session")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's folder; no test changes it."""
    place = tmp_path_factory.mktemp("search") / "model"
    save(model, place, {"data": "digits", "trained_on": ["train"], "accuracy": 0.9}, "# A card\n")
    return place
