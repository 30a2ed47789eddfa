from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from nas.blocks import KINDS, Block
from nas.data import Data
from nas.errors import UserError
from nas.layers import Layers, Relu
from nas.model import CARD, METRICS, NETWORK
from nas.model.program import of_module, of_whole
from nas.model.saved import OWN, WEIGHTS, WHOLE, Model, is_whole, load, save, warning
from nas.network import Images, Network
from nas.train import resized

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
TINY = Images(6, 1, 3)


class Sine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.rate * x)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def sine(block: Block, channels: int) -> nn.Module:
    return Sine()


def branches(block: Block, channels: int) -> nn.Module:
    return Branches()


def relu(block: Block, channels: int) -> Layers:
    return (Relu(),)


def tiny(*blocks: Block, **fields: Any) -> Model:
    network = Network(6, blocks, **fields)
    torch.manual_seed(0)
    return Model(network, network.module(TINY).eval(), TINY, ("a", "b", "c"), (0.4,), (0.2,))


def pixels(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The model's folder again, to be spoilt."""
    return Path(shutil.copytree(folder, tmp_path / "model"))


def changed(folder: Path, **fields: Any) -> Path:
    record = json.loads((folder / NETWORK).read_text())
    (folder / NETWORK).write_text(json.dumps(record | fields))
    return folder


# --- what a model does ---


def test_pixels_are_normalised_a_channel() -> None:
    model = tiny(Block("conv", 2))
    ready = model.whole.ready(torch.tensor([[[[51, 102]]]], dtype=torch.uint8).repeat(1, 1, 6, 3))
    assert torch.allclose(ready[0, 0, 0, :2], torch.tensor([-1.0, 0.0]), atol=1e-6)  # (0.2 - 0.4) / 0.2, (0.4 - 0.4)


@pytest.mark.parametrize("side", [5, 8, 12, 16, 24])
def test_images_are_resized_as_in_training_to_within_a_level(side: int, digits: Data) -> None:
    model = replace(tiny(Block("conv", 2)), network=Network(side, ()), mean=(0.0,), std=(1 / 255,))
    images = torch.from_numpy(np.array(digits.pixels[:100]))
    away = (model.whole.ready(images) - resized(images, side)).abs().max()
    assert away < 1.01
    assert side != 8 or away < 1e-4


def test_names_that_do_not_fit_the_classes_are_refused() -> None:
    with pytest.raises(UserError, match=r"found 2 class names, 1 means .* expected 3 classes and 1 channels"):
        replace(tiny(Block("conv", 2)), classes=("a", "b"))


# --- there and back ---


def test_a_folder_gives_the_model_back(model: Model, folder: Path, digits: Data) -> None:
    again = load(folder)
    images = torch.from_numpy(np.array(digits.pixels[digits.valid]))
    assert torch.equal(again.logits(images), model.logits(images))
    assert (again.network, again.images, again.classes) == (model.network, model.images, model.classes)
    assert (again.mean, again.std) == (model.mean, model.std)
    assert float((again.logits(images).argmax(1).numpy() == digits.labels[digits.valid]).mean()) > 0.7


def test_a_folder_has_these_files_and_no_other(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {NETWORK, WEIGHTS, WHOLE, METRICS, CARD}
    assert json.loads((folder / METRICS).read_text())["accuracy"] == 0.9
    assert (folder / CARD).read_text().startswith("# A card\n\n## Use\n")
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # nothing unfinished is left


def test_the_folder_of_a_search_leads_to_its_model(folder: Path) -> None:
    assert load(folder.parent).network == load(folder).network


@pytest.mark.parametrize("kind", KINDS)
def test_every_block_comes_back_with_its_fields(kind: str, tmp_path: Path) -> None:
    given = Block(kind, 8, kernel=5, squeeze=2, expansion=2, heads=2, dropout=0.1, inputs=(0, 1))
    model = tiny(Block("conv", cast(int, np.int64(8)), kernel=(3, 1)), given, join="add", head="flatten")
    save_without_programs(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.network == model.network
    assert torch.equal(again.logits(pixels(3, 1, 6, 6)), model.logits(pixels(3, 1, 6, 6)))


def save_without_programs(model: Model, folder: Path) -> None:
    """`save`, by a network that no program can be made of: blocks are many, and programs take a second each."""
    save(replace(model, module=Unwritable(model.module)), folder, {}, "")
    names = {
        name.removeprefix("part."): tensor for name, tensor in safetensors.torch.load_file(folder / WEIGHTS).items()
    }
    content = safetensors.torch.save(names)
    (folder / WEIGHTS).write_bytes(content)
    changed(folder, sha256={WEIGHTS: hashlib.sha256(content).hexdigest()})


class Unwritable(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no program of this")


def test_readme_s_three_lines_with_torch_alone_give_the_same(folder: Path, model: Model, tmp_path: Path) -> None:
    images = pixels(5, 1, 11, 9)
    torch.save(images, tmp_path / "images.pt")
    lines = re.search(r"^```\n(import torch\n.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert lines is not None
    code = f"""
import sys
sys.modules["nas"] = None  # as where the toolkit is not installed
import torch
images = torch.load({str(tmp_path / "images.pt")!r})
{lines[1]}
print(probabilities.numpy().tolist())
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), model.logits(images).softmax(1), atol=1e-6)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A network with a block of one's own, and its folder; no test changes it."""
    model, folder = tiny(Block("conv", 4), Block(sine), Block(relu)), tmp_path_factory.mktemp("own") / "model"
    save(model, folder, {}, "")
    return model, folder


@pytest.mark.parametrize("whose", ["built in", "own"])
def test_every_snippet_of_a_card_runs_as_it_is_written(whose: str, folder: Path, own: tuple[Model, Path]) -> None:
    place = folder if whose == "built in" else own[1]
    snippets = re.findall(r"```python\n(.*?)```", (place / CARD).read_text(), re.DOTALL)
    assert len(snippets) == 2
    said = "; ".join(
        f"exec({snippet!r}, found := {{}}); print(found['probabilities'].shape[0])" for snippet in snippets
    )
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1\n1\n", "")


def test_a_ctrl_c_between_the_two_renames_leaves_the_older_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tiny(), tmp_path / "model", {}, "the older one")
    (tmp_path / "model" / "thesis.txt").write_text("mine")
    renamed = Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if ".new." in self.name:
            raise KeyboardInterrupt
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tiny(), tmp_path / "model", {}, "the newer one")
    assert "the older one" in (tmp_path / "model" / CARD).read_text()
    assert (tmp_path / "model" / "thesis.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_card_says_how_a_folder_without_a_program_is_used(tmp_path: Path) -> None:
    save(replace(tiny(), module=Unwritable(nn.Linear(1, 1))), tmp_path / "model", {}, "# A card\n\nx\n\n## Limits\n")
    card = (tmp_path / "model" / CARD).read_text()
    assert re.findall(r"^## .*", card, re.MULTILINE) == ["## Use", "## Limits"]
    assert "With torch alone there is no way: found a network that torch.export cannot write" in card
    assert "model.pt2" not in card


def test_only_a_model_with_blocks_of_its_space_warns_of_them(folder: Path, own: tuple[Model, Path]) -> None:
    assert warning(folder) == ""
    assert warning(own[1]).endswith("nas predict, explain and export ask for --trust")


def test_own_blocks_come_back_where_their_code_is_not(own: tuple[Model, Path]) -> None:
    model, folder = own
    images = pixels(4, 1, 6, 7)
    code = f"""
import sys, torch
from pathlib import Path
from nas.model.saved import load
model = load(Path({str(folder)!r}), trust=True)
assert not {{"ray", "optuna", "typer", "matplotlib", "sklearn", "nas.search"}} & set(sys.modules)
print(model.logits(torch.tensor({images.tolist()}, dtype=torch.uint8)).tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert torch.allclose(torch.tensor(json.loads(done.stdout)), model.logits(images), atol=1e-5)


def test_what_came_from_a_program_can_be_saved_again(own: tuple[Model, Path], tmp_path: Path) -> None:
    model, folder = own
    save(load(folder, trust=True), tmp_path / "again", {}, "")
    images = pixels(3, 1, 6, 6)
    assert torch.allclose(load(tmp_path / "again", trust=True).logits(images), model.logits(images), atol=1e-5)


def test_a_program_is_read_only_where_it_is_trusted(own: tuple[Model, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(own[1], tmp_path / "model"))
    with pytest.raises(UserError, match=r"whose program network.pt2 can run code when it is read"):
        load(folder)
    (folder / OWN).write_bytes(b"something else")
    with pytest.raises(UserError, match=r"found other content than network.json was written with"):
        load(folder, trust=True)


def test_a_network_that_is_no_program_is_kept_all_the_same(tmp_path: Path) -> None:
    save(tiny(Block("conv", 2), Block(branches)), tmp_path / "model", {}, "")
    assert (tmp_path / "model" / WEIGHTS).is_file()
    with pytest.raises(UserError, match=r"no program of them \(found a network that torch.export cannot write"):
        load(tmp_path / "model", trust=True)


def test_a_program_takes_any_number_of_images_of_any_size() -> None:
    model = tiny(Block("conv", 2), Block("attention", 4))
    program, alone = of_whole(model).module(), of_module(model).module()
    for shape in ((1, 1, 6, 6), (1, 1, 1, 1), (7, 1, 20, 3)):
        images = pixels(*shape)
        assert torch.allclose(program(images), model.logits(images), atol=1e-5)
        assert torch.allclose(alone(model.whole.ready(images)), model.logits(images), atol=1e-5)


class Uneven(nn.Module):
    """Another function in every process that runs it: a program keeps what it was at first."""

    times = 0

    def forward(self, x: Tensor) -> Tensor:
        Uneven.times += 1
        return x * Uneven.times


def uneven(block: Block, channels: int) -> nn.Module:
    return Uneven()


def test_a_program_that_says_something_else_of_real_images_is_left_out_with_the_reason(
    digits: Data, tmp_path: Path
) -> None:
    model = tiny(Block("conv", 2), Block(uneven))
    save(model, tmp_path / "model", {}, "", np.array(digits.pixels[:5]))
    assert {path.name for path in (tmp_path / "model").iterdir()} == {NETWORK, WEIGHTS, METRICS, CARD}
    reason = json.loads((tmp_path / "model" / NETWORK).read_text())["no_program"]
    assert re.match(
        r"found that model\.pt2 gives probabilities that differ from the network's by up to 0\.\d+,", reason
    )


# --- written whole or not at all ---


def test_an_older_model_is_replaced_and_what_users_put_beside_it_stays(tmp_path: Path) -> None:
    model, place = replace(tiny(Block("conv", 2)), module=Unwritable(nn.Linear(1, 1))), tmp_path / "model"
    save(model, place, {"turn": 1}, "")
    (place / "explain" / "mine").mkdir(parents=True)
    theirs = {"mine.onnx": "a network", "explain/notes.md": "look here", "explain/mine/a.txt": "deep"}
    for name, text in theirs.items():
        (place / name).write_text(text)
    (place / "link").symlink_to("mine.onnx")
    os.mkfifo(place / "pipe")
    (place / WHOLE).write_text("of the older one")
    save(model, place, {"turn": 2}, "")
    assert json.loads((place / METRICS).read_text()) == {"turn": 2}
    assert {name: (place / name).read_text() for name in theirs} == theirs
    assert ((place / "link").readlink(), (place / "pipe").is_fifo()) == (Path("mine.onnx"), True)
    assert not (place / WHOLE).exists()
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)])
def test_images_of_another_kind_are_refused(images: Tensor) -> None:
    with pytest.raises(
        UserError, match=r"found images as \w+ \(2, ., 8, 8\), expected uint8 \(N, 1, H, W\), not scaled"
    ):
        tiny().logits(images)


def test_a_link_to_a_model_stays_one(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    for turn in range(2):
        save(replace(tiny(), module=Unwritable(nn.Linear(1, 1))), tmp_path / "link", {"turn": turn}, "")
    assert (tmp_path / "link").readlink() == Path("there")
    assert json.loads((tmp_path / "there" / METRICS).read_text()) == {"turn": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"link", "there"}


def test_what_was_explained_of_a_model_goes_with_its_weights(tmp_path: Path) -> None:
    models = [replace(tiny(), module=Unwritable(nn.Linear(1, width))) for width in (1, 1, 2)]
    models[1].module.load_state_dict(models[0].module.state_dict())
    left = []
    for turn, model in enumerate(models):
        save(model, tmp_path / "model", {"turn": turn}, "")
        if turn == 0:
            (tmp_path / "model" / "explain").mkdir()
            for name in ("explain.json", "classes.png", "notes.md"):
                (tmp_path / "model" / "explain" / name).touch()
        left.append({path.name for path in (tmp_path / "model" / "explain").iterdir()})
    assert left == [{"explain.json", "classes.png", "notes.md"}] * 2 + [{"notes.md"}]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match=r"found something else, expected nothing, or network.json in it"):
        save(replace(tiny(), module=Unwritable(nn.Linear(1, 1))), tmp_path, {}, "")
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_what_fails_half_way_leaves_the_older_model(copy: Path) -> None:
    with pytest.raises(TypeError):
        save(replace(tiny(), module=Unwritable(nn.Linear(1, 1))), copy, {"not JSON": object()}, "")
    assert load(copy).images.classes == 10
    assert [path.name for path in copy.parent.iterdir()] == ["model"]


# --- folders that are not sound ---


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no network.json, expected the folder of a model, or of a search"):
        load(tmp_path)


@pytest.mark.parametrize("name", [WEIGHTS, NETWORK])
def test_a_file_that_is_missing_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"found no {name}|{name}: found nothing there, expected the file that"):
        load(copy)


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", "7", "null", "\x00", "{}", '{"format": "x"}', '{"format": 1}', "[" * 100_000]
)
def test_damaged_json_is_said(text: str, copy: Path) -> None:
    (copy / NETWORK).write_text(text)
    with pytest.raises(UserError, match=r"network.json: found it damaged"):
        load(copy)


def test_another_format_is_said(copy: Path) -> None:
    with pytest.raises(UserError, match=r"found format 2, expected 1; it was written by another version"):
        load(changed(copy, format=2))


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"classes": ["a", "b"]}, "found 2 class names"),
        ({"classes": "abc"}, "classes are no list of names"),
        ({"mean": [float("nan")]}, "a mean or std is"),
        ({"std": [0.0]}, "a mean or std is"),
        ({"std": [0.2, 0.2, 0.2]}, "3 standard deviations"),
        ({"images": {"size": 8, "channels": 1, "classes": -1}}, "images are"),
        ({"images": {"size": 8}}, "damaged"),
        ({"images": {"size": 8, "channels": 1, "classes": 11}, "classes": [*"abcdefghijk"]}, r"expected float32 \(11,"),
        ({"network": {"input_size": 8, "join": "add", "head": "gap", "blocks": []}}, "its network has the key"),
        ({"network": {"blocks": [{"kind": "conv", "width": True}]}}, "a block has width True"),
        ({"network": {"blocks": [{"kind": "conv", "extra": [1]}]}}, "a block has extra"),
        ({"network": {"blocks": [{"kind": "__import__"}]}}, "which this version does not have"),
        ({"network": {"blocks": 7}}, "damaged"),
        ({"network": 7}, "damaged"),
        ({"network": None, "input_size": 10**9}, "its input size is"),
        ({"sha256": {}}, "found other content"),
        ({"sha256": 7}, "damaged"),
        ({"sha256": {WEIGHTS: "", "/dev/zero": ""}}, "it names the file '/dev/zero'"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_refused(fields: dict[str, Any], found: str, copy: Path) -> None:
    with pytest.raises(UserError, match=found):
        load(changed(copy, **fields))


@pytest.mark.parametrize("name", ["{}/outside", "../outside", METRICS])
def test_a_model_that_names_files_elsewhere_is_not_whole_even_if_they_are_as_it_says(name: str, copy: Path) -> None:
    (copy.parent / "outside").write_text("mine")
    metrics = json.loads((copy / METRICS).read_text())
    assert is_whole(copy, metrics)
    name = name.format(copy.parent)
    content = (copy / name).read_bytes()
    sums = json.loads((copy / NETWORK).read_text())["sha256"]
    assert not is_whole(changed(copy, sha256=sums | {name: hashlib.sha256(content).hexdigest()}), metrics)


@pytest.mark.parametrize("name", [NETWORK, WEIGHTS, WHOLE, METRICS])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name: str, copy: Path) -> None:
    metrics = json.loads((copy / METRICS).read_text())
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert not is_whole(copy, metrics)
    if name == WEIGHTS:
        with pytest.raises(UserError, match=r"found something that is no file, expected the file that network.json"):
            load(copy)


def test_weights_of_another_network_are_refused(copy: Path) -> None:
    content = safetensors.torch.save(dict(tiny(Block("conv", 2)).module.state_dict()))
    (copy / WEIGHTS).write_bytes(content)
    with pytest.raises(UserError, match=r"found other content than network.json was written with"):
        load(copy)
    with pytest.raises(UserError, match=r"found stages.0.0.weight float32 \(2, 1, 3, 3\), expected float32 \(16, 1,"):
        load(changed(copy, sha256={WEIGHTS: hashlib.sha256(content).hexdigest()}))


def test_a_file_of_weights_that_is_none_is_refused(copy: Path) -> None:
    (copy / WEIGHTS).write_bytes(b"\xff" * 64)
    with pytest.raises(UserError, match=r"found it damaged \(SafetensorError"):
        load(changed(copy, sha256={WEIGHTS: hashlib.sha256(b"\xff" * 64).hexdigest()}))


def test_a_network_of_terabytes_takes_no_memory(copy: Path) -> None:
    network = Network(8, (Block("dense", 100_000), Block("dense", 100_000)))
    written = {"input_size": 8, "join": "concat", "head": "gap", "blocks": [{"kind": "dense", "width": 100_000}] * 2}
    with pytest.raises(UserError, match=r"expected float32"):
        load(changed(copy, network=written, key=network.key))  # 40 GB of weights


def test_a_device_that_is_not_there_is_said(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserError, match=r"device cuda: found no GPU"):
        load(folder, device="cuda")
