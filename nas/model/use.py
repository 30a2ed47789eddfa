"""How the model in a folder is loaded: the part of its card that is code, and runs as it is written."""

from __future__ import annotations

from nas.network import Images


def use(images: Images, own: bool, reason: str | None) -> str:
    """In Markdown: with torch alone, and with the toolkit.

    own: whether the network has parts of one's own, whose code the folder lacks.
    reason: why there is no program of it, None where there is one.
    """
    if reason and own:
        return (
            "Neither torch alone nor the toolkit can load this folder: it has blocks that are code of its space, and "
            f"no program of them ({' '.join(reason.split())}). Build the network from its space, and load "
            "`weights.safetensors` into it."
        )
    alone = f"With torch alone there is no way: {' '.join(reason.split())}." if reason else _alone(images)
    return f"{alone}\n\n{_with_names(images, own)}"


def _alone(images: Images) -> str:
    return f"""\
With torch alone, in this folder:

```python
import torch

model = torch.export.load("model.pt2").module()
{_example(images)}
probabilities = model(images).softmax(1)
```"""


def _with_names(images: Images, own: bool) -> str:
    trust = ", trust=True" if own else ""
    warned = (
        "\n\n`trust=True` is there because `network.pt2` can run code when it is read: first know who wrote it."
        if own
        else ""
    )
    return f"""\
Or, with the names of the classes, where the toolkit is installed; no part of the search is imported:

```python
from pathlib import Path

import torch

from nas.model.saved import load

model = load(Path("."){trust})
{_example(images)}
probabilities = model.logits(images).softmax(1)
labels = [model.classes[number] for number in probabilities.argmax(1)]
```{warned}"""


def _example(images: Images) -> str:
    shape = f"1, {images.channels}, {images.size}, {images.size}"
    return f"""\
# in place of yours: (N, C, H, W), any number; of photos the centre square, best scaled to this size, as it was tested
images = torch.zeros({shape}, dtype=torch.uint8)"""
