"""A trained network in a folder, with all it takes to use it; no part of the search is imported.

    network.json         format, network, key, images, classes, mean and std a channel, the SHA-256 of the files below
    weights.safetensors  parameters and buffers by name, as in `Model.module.state_dict()`
    model.pt2            the whole as a torch.export program: uint8 (N, C, H, W) of any size to logits (N, K)
    network.pt2          only of a network with blocks or modules of one's own: `Model.module` as such a program
    metrics.json         figures, as they were given
    README.md            the model card, as it was given, and how to use the folder

A network of built-in blocks is built from network.json and gets its weights; nothing that is read is run. One's own
blocks are code, which a folder does not have: such a network comes from network.pt2. torch unpickles what a program may
hold, so one is read only where the caller trusts it. Where nothing else is at hand, torch alone is enough:

    import torch
    model = torch.export.load("model.pt2").module()
    probabilities = model(images).softmax(1)
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas import machine
from nas.blocks import DEFAULTS, Block
from nas.errors import UserError
from nas.model import CARD, EXPLAINED, EXPLANATION, METRICS, MODEL, NETWORK
from nas.model.program import (
    TOLERANCE,
    Run,
    as_module,
    difference,
    of_module,
    of_whole,
    runs_module,
    runs_whole,
    stored,
)
from nas.model.use import use
from nas.network import LARGEST_SIDE, Images, Network

if TYPE_CHECKING:
    from nas.cache import Pixels
    from nas.space import Child

FORMAT = 1
WEIGHTS, WHOLE, OWN = "weights.safetensors", "model.pt2", "network.pt2"
FILES = (NETWORK, WEIGHTS, WHOLE, OWN, METRICS, CARD)
EXPLAINS = (EXPLANATION, "classes.png", "confusion.png", "calibration.png", "mistakes.png", "gradcam.png")
MOST_CLASSES = 100_000
MOST_CHANNELS = 4_096


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with all it takes to use it. Raises UserError where its parts do not fit each other."""

    network: Child
    module: nn.Module  # float (N, C, S, S), normalised, to logits (N, K)
    images: Images  # the size in which its data were decoded, channels, classes
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # a channel, in 0..1
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        _, channels, classes = self.images
        if len(self.classes) != classes or not len(self.mean) == len(self.std) == channels:
            raise UserError(
                f"found {len(self.classes)} class names, {len(self.mean)} means and {len(self.std)} standard "
                f"deviations, expected {classes} classes and {channels} channels as the network has; give one for each"
            )

    def logits(self, pixels: Tensor) -> Tensor:
        """pixels: uint8 (N, C, H, W) of any size, anywhere; gives float (N, K) where the module is.

        Raises UserError for other pixels.
        """
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != self.images.channels:
            raise UserError(
                f"found images as {_kind(pixels)}, expected uint8 (N, {self.images.channels}, H, W), not scaled or "
                "normalised, which the model does itself; give them so"
            )
        device = next((weight.device for weight in self.module.parameters()), torch.device("cpu"))
        with torch.no_grad():
            logits: Tensor = self.whole.to(device).eval()(pixels.to(device))
        return logits

    @cached_property
    def whole(self) -> Whole:
        """The module with what comes before it."""
        return Whole(self)


class Whole(nn.Module):
    """A network from pixels on: uint8 (N, C, H, W) of any size to logits (N, K)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.size = model.module, model.network.input_size
        mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (model.mean, model.std))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def ready(self, images: Tensor) -> Tensor:
        """images: uint8 (N, C, H, W), as float (N, C, S, S), resized and normalised as in training.

        Training on a CPU rounds a resized image to whole levels; here nothing is rounded, so that a program gives the
        same wherever it runs. Images of the network's own size come out equal.
        """
        x = F.interpolate(images.float(), (self.size, self.size), mode="bilinear", antialias=True)
        return torch.addcmul(self.shift, x, self.scale)

    def forward(self, images: Tensor) -> Tensor:
        """images: uint8 (N, C, H, W); gives logits (N, K)."""
        logits: Tensor = self.network(self.ready(images))
        return logits


@dataclass(frozen=True)
class Exported:
    """A network with parts of one's own, of which a folder has the program and not the code."""

    input_size: int
    key: str
    written: str

    def module(self, images: Images) -> nn.Module:
        """Raises UserError: only its code could make another one."""
        raise UserError(
            f"found the network {self.key} as a program, expected its code to build it anew; build it from its space"
        )


def found(folder: Path | str) -> Path:
    """The folder of a model: this one, or model/ in the folder of a search; raises UserError if neither is one."""
    folder = Path(folder)
    for place in (folder, folder / MODEL):
        if (place / NETWORK).is_file():
            return place
    raise UserError(
        f"{folder}: found no {NETWORK}, expected the folder of a model, or of a search with a model in it; "
        "`nas finish` makes one of a search"
    )


def is_whole(folder: Path, metrics: Mapping[str, Any]) -> bool:
    """Whether a model lies here with these figures, and all its files as network.json has their checksums."""
    try:
        sums = _sums(_read_record(folder / NETWORK))
        whole = WEIGHTS in sums and all(_content(folder, name, sums) for name in sums)
        return whole and (folder / CARD).is_file() and bool(json.loads(_bytes(folder / METRICS)) == metrics)
    except (UserError, OSError, KeyError, TypeError, ValueError, RecursionError):
        return False


def warning(folder: Path) -> str:
    """What to know of a model with blocks that are code of its space, in a sentence; empty where all are built in."""
    record = _read_record(folder / NETWORK)
    if record.get("network") is not None:
        return ""
    if OWN not in _sums(record):
        return (
            "it has blocks that are code of its space, and no program of them, so that nothing here reads it: "
            f"{str(record.get('no_program'))[:300]}"
        )
    return (
        "it has blocks that are code of its space, kept as a program that can run code when it is read: nas predict, "
        "explain and export ask for --trust"
    )


# --- written ---


def save(model: Model, folder: Path, metrics: Mapping[str, Any], card: str, pixels: Pixels | None = None) -> None:
    """Write a model as `folder`, in place of an older one there; a reader never sees half of it.

    What else lies in the folder stays, but for what `nas explain` wrote of an older one's weights, if they were others.
    metrics: figures, as JSON can hold them. Of their fields two are read again, to find images that the model can be
    looked at with: "data", what `nas.data.load` was given, as text or as its arguments by name, and "trained_on", the
    parts of them that it has seen, of "train" and "valid".
    card: the text of README.md; after its first part comes how this folder is used.
    pixels: uint8 (N, C, H, W), N at least 1, images that the programs are held against; noise unless given.
    A network that torch.export cannot write as a program, or whose program says something else of these images, is
    kept without model.pt2, and network.json says why.
    Raises UserError if the folder is something else, or cannot be written.
    """
    own = not _is_built_in(model.network)
    files = {WEIGHTS: weights_of(model.module)}
    reason = None
    try:
        files |= _programs(model, own, _noise(model) if pixels is None else pixels)
    except UserError as error:
        reason = str(error)
    record = _record(model, {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}, reason)
    told = _with_part(card, "Use", use(model.images, own, reason))
    texts = {NETWORK: json.dumps(record, indent=1), METRICS: json.dumps(dict(metrics), indent=1), CARD: told}
    older = () if _has(folder / WEIGHTS, files[WEIGHTS]) else tuple(f"{EXPLAINED}/{name}" for name in EXPLAINS)
    with in_place_of(folder, (NETWORK, WEIGHTS), (*FILES, *older)) as new:
        for name, content in (files | {name: text.encode() for name, text in texts.items()}).items():
            with (new / name).open("xb") as file:
                file.write(content)
                os.fsync(file.fileno())


def _programs(model: Model, own: bool, pixels: Pixels) -> dict[str, bytes]:
    """By name; raises UserError for a network that torch.export cannot write, or writes as another one."""
    found = {WHOLE: stored(of_whole(model), model)}
    _check_same(WHOLE, lambda: runs_whole(found[WHOLE]), model, pixels)
    if own:
        found[OWN] = stored(of_module(model), model)
        _check_same(OWN, lambda: runs_module(found[OWN], model), model, pixels)
    return found


def _check_same(name: str, run: Callable[[], Run], model: Model, pixels: Pixels) -> None:
    """Raise UserError for a program that cannot be run, or does not say what the model says."""
    try:
        apart = difference(run(), model, pixels)
        wrong = "" if apart <= TOLERANCE else f"gives probabilities that differ from the network's by up to {apart:.2g}"
    except Exception as error:  # of torch, or of a block of the user's
        wrong = f"does not run ({type(error).__name__}: {str(error).strip()[:200]})"
    if wrong:
        raise UserError(
            f"found that {name} {wrong}, expected the network's, to within {TOLERANCE:g}; look for a block that "
            "does not give the same each time"
        )


def _noise(model: Model) -> Pixels:
    _, channels, _ = model.images
    shape = (4, channels, model.network.input_size, model.network.input_size)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _has(file: Path, content: bytes) -> bool:
    """Whether a file is there with this content."""
    return file.is_file() and file.read_bytes() == content


def _with_part(card: str, name: str, text: str) -> str:
    """A text in Markdown with one more part, the first of those that have names."""
    head, mark, rest = card.partition("\n## ")
    return f"{head}\n## {name}\n\n{text}\n{mark}{rest}"


def weights_of(module: nn.Module) -> bytes:
    """Its parameters and buffers as a file of safetensors, each by itself, even where two are one in the module."""
    import safetensors.torch

    state = module.state_dict()
    return safetensors.torch.save(
        {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}
    )


def _record(model: Model, sums: Mapping[str, str], reason: str | None) -> dict[str, Any]:
    network = model.network
    return {
        "format": FORMAT,
        "key": network.key,
        "written": getattr(network, "written", network.key),
        "network": _as_json(network) if _is_built_in(network) else None,
        "input_size": int(network.input_size),
        "images": model.images._asdict(),
        "classes": list(model.classes),
        "mean": list(model.mean),
        "std": list(model.std),
        "sha256": dict(sums),
        "no_program": reason,
    }


def _is_built_in(network: Child) -> bool:
    """Whether the library's own blocks are all that it is made of."""
    if not isinstance(network, Network) or type(network) is not Network:
        return False
    return all(isinstance(block.kind, str) and not block.extra for block in network.blocks)


def _as_json(network: Child) -> dict[str, Any]:
    assert isinstance(network, Network)
    blocks = [
        {"kind": block.kind} | {name: _plain(value) for name, value in vars(block).items() if _is_set(name, value)}
        for block in network.blocks
    ]
    return {"input_size": int(network.input_size), "join": network.join, "head": network.head, "blocks": blocks}


def _is_set(name: str, value: object) -> bool:
    return name in DEFAULTS and value != DEFAULTS[name]


def _plain(value: Any) -> Any:
    """A field's value as JSON has it: numpy's numbers as Python's."""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, Integral) else float(value)


@contextlib.contextmanager
def in_place_of(folder: Path, marks: Sequence[str], written: Collection[str]) -> Iterator[Path]:
    """A new folder, which takes this one's place when all is in it, with what lay there and is no part of the older.

    marks: files of which one tells an older one of its kind.  written: those that such a folder is made of, marks too.
    Raises UserError if something else is there, or it cannot be written.
    """
    folder = Path(os.path.realpath(folder))  # not the link that may lead there
    older = any((folder / mark).is_file() for mark in marks)
    if folder.exists() and not older and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: found something else, expected nothing, or {marks[0]} in it; name another folder")
    new, old = (folder.with_name(f".{folder.name}.{what}.{os.getpid()}") for what in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            _keep_others(folder, new, written)
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: found {error.strerror or error}, expected a folder that can be written; make room, or name "
            "another"
        ) from None
    finally:
        if old.exists() and not folder.exists():  # a Ctrl-C came between the two
            old.rename(folder)
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


def _keep_others(folder: Path, new: Path, written: Collection[str]) -> None:
    """Bring what is not `written` into the new folder too; none of it leaves the older one, for a Ctrl-C may come."""

    def parts(at: str, names: list[str]) -> set[str]:
        return {name for name in names if (Path(at) / name).relative_to(folder).as_posix() in written}

    shutil.copytree(folder, new, symlinks=True, ignore=parts, copy_function=_linked, dirs_exist_ok=True)


def _linked(file: str, to: str) -> None:
    """The file under another name too, or a copy where the file system has no such links."""
    try:
        os.link(file, to, follow_symlinks=False)
    except OSError:
        shutil.copy2(file, to, follow_symlinks=False)


# --- read ---


def load(folder: Path | str, trust: bool = False, device: str = "cpu") -> Model:
    """The model in a folder, or in model/ of a search's folder, on "cpu", "cuda", or "auto".

    trust: whether a program may be read, which can run code; without it a network with parts of one's own is refused.
    Raises UserError for a folder without a model, damaged or other files, and a device that is not there.
    """
    place = found(folder)
    record = _read_record(place / NETWORK)
    on = machine.device(device)
    try:
        images = _images(record["images"])
        named = _names(record["classes"]), _numbers(record["mean"], -math.inf), _numbers(record["std"], 0)
        sums = _sums(record)
        network = _network(record)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(place / NETWORK, error) from None
    if isinstance(network, Network):
        module = _built(network, images, place, sums)
    else:
        module = _programmed(network, place, sums, record.get("no_program"), trust)
    try:
        return Model(network, module.to(on).eval(), images, *named)
    except UserError as error:
        raise UserError(f"{place / NETWORK}: {error}") from None


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = dict(json.loads(_bytes(path)))
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from None
    if type(record.get("format")) is not int:
        raise _damaged(path, ValueError("it has no format"))
    if record["format"] != FORMAT:
        raise UserError(
            f"{path}: found format {record['format']!r:.40}, expected {FORMAT}; it was written by another version "
            "of this toolkit: use that one, or model.pt2 with torch alone"
        )
    return record


def _damaged(path: Path, error: BaseException) -> UserError:
    return UserError(
        f"{path}: found it damaged ({type(error).__name__}: {str(error)[:200]}), expected what `nas finish` writes "
        "there; restore it from a copy, run `nas finish` again, or name a model's folder"
    )


def _sums(record: Mapping[str, Any]) -> dict[str, str]:
    """The checksums by file; raises ValueError where it names another than a model's, for it is read."""
    sums = dict(record["sha256"])
    others = [name for name in sums if name not in (WEIGHTS, WHOLE, OWN)]
    if others:
        raise ValueError(f"it names the file {others[0]!r:.60}")
    return sums


def _images(value: Mapping[str, Any]) -> Images:
    images = Images(**value)
    most = Images(LARGEST_SIDE, MOST_CHANNELS, MOST_CLASSES)
    if not all(type(one) is int and 1 <= one <= limit for one, limit in zip(images, most, strict=True)):
        raise ValueError(f"images are {images}")
    return images


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError("classes are no list of names")
    return tuple(value)


def _numbers(value: Any, above: float) -> tuple[float, ...]:
    if not isinstance(value, list) or not all(type(one) in (int, float) and above < one < math.inf for one in value):
        raise TypeError(f"a mean or std is {value!r:.60}")
    return tuple(float(one) for one in value)


def _network(record: Mapping[str, Any]) -> Child:
    """Raises KeyError, TypeError or ValueError for what no network is."""
    written, key, size = record["written"], record["key"], record["input_size"]
    if not isinstance(written, str) or not isinstance(key, str) or type(size) is not int:
        raise TypeError("its network has no key, text or size")
    if not 1 <= size <= LARGEST_SIDE:
        raise ValueError(f"its input size is {size}")
    if record["network"] is None:
        return Exported(size, key, written)
    given = dict(record["network"])
    network = Network(**given | {"blocks": tuple(_block(one) for one in given["blocks"])})
    if network.key != key:
        raise ValueError(f"its network has the key {network.key}, not {key}")
    return network


def _block(given: Mapping[str, Any]) -> Block:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return Block.read(values.pop("kind"), values)


def _content(place: Path, name: str, sums: Mapping[str, Any]) -> bytes:
    """A file's bytes; raises UserError if it is missing, or not the one that network.json was written with."""
    try:
        content = _bytes(place / name)
    except OSError as error:
        there = "nothing there" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(
            f"{place / name}: found {there}, expected the file that {NETWORK} names; restore it from a copy, or run "
            "`nas finish` again"
        ) from None
    if hashlib.sha256(content).hexdigest() != sums.get(name):
        raise UserError(
            f"{place / name}: found other content than {NETWORK} was written with, expected the SHA-256 "
            f"{sums.get(name)!s:.64}; restore both from one copy"
        )
    return content


def _bytes(file: Path) -> bytes:
    """Its content; raises OSError, for what is no file too: a pipe would never end."""
    if file.exists() and not file.is_file():
        raise OSError(errno.EINVAL, "something that is no file")
    return file.read_bytes()


def _built(network: Network, images: Images, place: Path, sums: Mapping[str, Any]) -> nn.Module:
    """The network with its weights; it is laid out without memory first, so that only weights that are there take any.

    Raises UserError for a network that cannot be, and weights of other names, shapes or kinds.
    """
    import safetensors
    import safetensors.torch

    content = _content(place, WEIGHTS, sums)
    try:
        network.costs(images)
        with torch.device("meta"):
            module = network.module(images)
        weights = safetensors.torch.load(content)
    except UserError as error:
        raise UserError(f"{place / NETWORK}: {error}") from None
    except (safetensors.SafetensorError, ValueError, TypeError, OverflowError, KeyError) as error:
        raise _damaged(place, error) from None
    expected = {name: _kind(tensor) for name, tensor in module.state_dict().items()}
    there = {name: _kind(tensor) for name, tensor in weights.items()}
    wrong = [name for name in {**expected, **there} if expected.get(name) != there.get(name)]
    if wrong:
        raise UserError(
            f"{place / WEIGHTS}: found {wrong[0][:100]} {there.get(wrong[0], 'missing')}, expected "
            f"{expected.get(wrong[0], 'nothing of that name')} as in {NETWORK}; restore both from one copy"
        )
    module.load_state_dict(weights, assign=True)
    return module


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _programmed(network: Child, place: Path, sums: Mapping[str, Any], reason: object, trust: bool) -> nn.Module:
    """The module of a network with parts of one's own, from its program."""
    if OWN not in sums:
        raise UserError(
            f"{place}: found a network with blocks that are code of its space, and no program of them "
            f"({str(reason)[:300]}), expected {OWN}; build the network from its space and load {WEIGHTS} into it"
        )
    if not trust:
        raise UserError(
            f"{place}: found a network with blocks that are code of its space, whose program {OWN} can run code when "
            "it is read, expected to be told that you trust it; if you know who wrote it, give --trust (in Python "
            "trust=True)"
        )
    content = _content(place, OWN, sums)
    try:
        return as_module(content)
    except Exception as error:  # it may hold anything
        raise _damaged(place / OWN, error) from None
