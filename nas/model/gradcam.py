"""Where a network looks: Grad-CAM, for any network that has maps.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017, section 3:
    weight of map k for class c = mean over positions of d logit_c / d A_k;  heat = max(0, sum_k weight_k A_k).

A are the maps of the last place with more than one position: what the classifier, or whatever first pools or flattens,
is given. Departs from the paper: a network without a convolution before that has no maps but the image itself, whose
channels' mean gradients say nothing; there the heat is max(0, sum over channels of gradient x input), position by
position (Shrikumar et al. 2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.errors import UserError

if TYPE_CHECKING:
    from nas.cache import Pixels
    from nas.model.saved import Model


class Heat(NamedTuple):
    """How much each part of each image speaks for a class."""

    maps: npt.NDArray[np.float32]  # (N, H, W) of the images' own size, 0 to 1, the most of each image 1; or all 0
    positions: tuple[int, int]  # of the maps that it comes from, rows and columns
    layer: str  # the module that gave or got these, or "the image"


def gradcam(model: Model, pixels: Pixels, labels: npt.NDArray[np.int64]) -> Heat:
    """pixels: uint8 (N, C, H, W); labels (N,): of which class each image's heat is.

    Raises UserError for a network all of whose maps have one position.
    """
    device = next((weight.device for weight in model.module.parameters()), torch.device("cpu"))
    ready = model.whole.to(device).eval().ready(torch.from_numpy(np.array(pixels)).to(device))
    with torch.enable_grad():
        x = ready.requires_grad_().clone()  # a module may change what it is given, which no leaf allows
        logits, layer, maps = _last_maps(model.module, x)
        wanted = logits.gather(1, torch.from_numpy(labels).to(device)[:, None]).sum()
        (gradients,) = torch.autograd.grad(wanted, maps)
    weights = gradients if maps is x else gradients.mean((2, 3), keepdim=True)
    heat = (weights * maps).sum(1, keepdim=True).detach().clamp_min(0)
    heat = F.interpolate(heat, pixels.shape[2:], mode="bilinear")[:, 0]
    most = heat.amax((1, 2), keepdim=True)
    scaled = torch.where(most > 0, heat / most, 0.0).float().cpu().numpy()
    return Heat(scaled, (maps.shape[2], maps.shape[3]), layer)


def _last_maps(module: nn.Module, x: Tensor) -> tuple[Tensor, str, Tensor]:
    """Logits of x (N, C, S, S), and the last tensor with more than one position that a module was given or gave.

    What is given counts too: maps that are joined or added between two modules are the output of none.
    """
    seen: list[tuple[str, Tensor]] = []

    def see(name: str, value: Any) -> None:
        if isinstance(value, Tensor) and value.ndim == 4 and value.shape[2] * value.shape[3] > 1:
            seen.append((name, value))

    hooks = []
    for name, part in module.named_modules():
        hooks.append(part.register_forward_pre_hook(lambda _, given, name=name: see(name, given[0] if given else None)))
        hooks.append(part.register_forward_hook(lambda _, given, out, name=name: see(name, out)))
    try:
        logits = module(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise UserError(
            "found a network whose maps all have one position, expected more, for Grad-CAM says which of them count; "
            "leave it out for this network"
        )
    name, maps = seen[-1]
    return logits, "the image" if maps is x else name or "the network", maps
