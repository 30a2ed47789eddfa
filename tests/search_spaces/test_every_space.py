"""What holds for every space on every size of image."""

import random

import pytest
import torch

from nas.network import Images, Network
from nas.space import Space
from search_spaces.chain import Chain
from search_spaces.metaqnn import MetaQnn
from search_spaces.mobile import Mobile
from search_spaces.nasbench201 import NasBench201
from search_spaces.stages import Stages
from search_spaces.zoph import Zoph

SPACES = (Chain(), MetaQnn(), Zoph(), Zoph(strides=True), Mobile(), NasBench201(), Stages())
IMAGES = (Images(8, 1, 10), Images(28, 1, 10), Images(32, 3, 100), Images(64, 3, 2), Images(224, 3, 5))
SMALL = 20_000_000  # multiply-adds of a child that is run here


@pytest.mark.parametrize("images", IMAGES, ids=lambda images: f"{images.size}px")
@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_random_candidates_replay_and_have_costs_and_small_ones_run(space: Space, images: Images) -> None:
    space = space.on(images)
    run = 0
    for seed in range(30):
        candidate = space.sample(random.Random(seed))
        network = candidate.network
        assert isinstance(network, Network)
        assert space.replay(candidate.answers) == candidate
        costs = network.costs(images)
        assert costs is not None
        if costs.madds < SMALL and run < 3:
            size, run = network.input_size, run + 1
            logits = network.module(images)(torch.randn(2, images.channels, size, size))
            assert logits.shape == (2, images.classes)
