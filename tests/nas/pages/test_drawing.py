from __future__ import annotations

import random
from pathlib import Path
from xml.etree import ElementTree

import pytest
from torch import nn

from nas.blocks import Block
from nas.ledger import Trial
from nas.network import Images, Network
from nas.pages.drawing import Row, cells_of, drawing, drawn, lanes_of, parsed, picture, rows_of, style
from search_spaces.chain import Chain
from search_spaces.metaqnn import MetaQnn
from search_spaces.nasbench201 import NasBench201
from search_spaces.zoph import Zoph
from tests.nas.pages.conftest import Browser

IMAGES = Images(8, 1, 10)
CHAIN = Network(8, (Block("conv", 16), Block("conv", 16, stride=2), Block("max_pool")))


def test_each_block_is_a_row_with_the_shape_of_its_output_and_its_parameters() -> None:
    image, first, second, pool, classifier = rows_of(CHAIN, IMAGES)
    assert (image.name, image.shape) == ("image", "1 × 8 × 8")
    assert (first.name, first.shape, first.cost) == ("conv 3×3", "16 × 8 × 8", "176 parameters")  # 9·16 + 2·16
    assert (second.detail, second.shape) == ("stride 2", "16 × 4 × 4")
    assert (pool.name, pool.cost, pool.family) == ("max_pool 3×3", "", "pool")
    assert (classifier.shape, classifier.cost) == ("10 classes", "170 parameters")  # 16·10 + 10


def gated(block: Block, channels: int) -> nn.Module:
    return nn.Conv2d(channels, block.width, 3)


def test_a_block_of_ones_own_is_called_as_it_is_written() -> None:
    network = Network(8, (Block(gated, 4),))
    for images in (IMAGES, None):
        name = rows_of(network, images)[1].name
        assert name.endswith("test_drawing.gated")
        assert name in network.written


@pytest.mark.parametrize("space", [NasBench201(), MetaQnn()])
def test_blocks_of_built_in_spaces_are_called_without_their_modules_name(space: NasBench201 | MetaQnn) -> None:
    for seed in range(5):
        network = space.on(IMAGES).sample(random.Random(seed)).network
        assert isinstance(network, Network)
        assert not any("." in row.name for images in (IMAGES, None) for row in rows_of(network, images))


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("mine.conv 3×3", "mine.conv 3×3"),
        ("my_own_space.convolution 5×5", "convolution 5×5"),
        ("5 × my_own_space.Space.<locals>.cell 3×3", "5 × cell 3×3"),
    ],
)
def test_a_name_without_room_loses_its_modules_name_before_any_of_its_own(name: str, drawn: str) -> None:
    assert texts(picture([Row(name, shape="512 × 128 × 128")]))[0] == drawn


def test_a_block_that_is_a_torch_module_has_the_shape_of_its_output_and_its_parameters() -> None:
    _, own, after, _ = rows_of(Network(8, (Block(gated, 4), Block("max_pool"))), IMAGES)
    assert (own.shape, own.cost) == ("4 × 6 × 6", "40 parameters")  # 9·4 + 4, without padding
    assert after.shape == "4 × 6 × 6"


def test_without_the_data_there_are_blocks_without_shapes() -> None:
    assert [row.name for row in rows_of(CHAIN, None)] == ["image", "conv", "conv", "max_pool"]


def test_equal_neighbours_of_a_chain_are_one_row() -> None:
    network = Network(8, (Block("conv", 4), Block("conv", 16), *[Block("residual", 16)] * 3))
    names = [(row.name, row.sources) for row in rows_of(network, IMAGES)]
    assert names[2:] == [("conv 3×3", (1,)), ("3 × residual 3×3", (2,)), ("classifier", (3,))]


def test_an_output_taken_further_down_has_a_lane_until_its_last_taker() -> None:
    sources = [(), (0,), (0,), (1, 2), (2,), (2, 4)]
    rows = [Row(name, sources=of) for name, of in zip(("image", *"abcde"), sources, strict=True)]
    assert lanes_of(rows) == {0: 0, 1: 1, 2: 0}  # the image's lane ends at b, where b's own begins


def texts(image: str) -> list[str]:
    return [str(text.text) for text in ElementTree.fromstring(image).iter("{http://www.w3.org/2000/svg}text")]


def test_a_detail_without_room_beside_the_parameters_goes_on_in_a_second_line_between_its_fields() -> None:
    row = Row("inverted 3×3", "stride 2, expansion 6, squeeze 4", "24 × 4 × 4", "21.7k parameters")
    assert {"stride 2, expansion 6", "squeeze 4"} <= set(texts(picture([row])))
    (long,) = [row._replace(detail=", ".join(f"field{n} {n}" for n in range(20)))]
    for said in texts(picture([long]))[-2:]:
        assert set(said.split(", ")) <= {*long.detail.split(", "), "…"}
    assert texts(picture([row._replace(detail="stride 2")]))[-1] == "stride 2"


@pytest.mark.parametrize("wide", [1280, 390])
def test_in_a_browser_no_text_of_a_block_touches_another_or_leaves_its_box(
    browser: Browser, tmp_path: Path, wide: int
) -> None:
    block = Block("inverted", 1024, kernel=3, stride=2, expansion=6, squeeze=4)
    named = Row(
        "a_block_of_ones_own_with_a_long_name", "widened_by_the_user 4", "1024 × 128 × 128", "123M parameters each"
    )
    drawings = [drawing(Network(64, (block, Block("dense", 10))), Images(64, 3, 10)), picture([named])]
    (tmp_path / "page.html").write_text(f"<style>{style()}</style>{''.join(drawings)}")
    browser.open(f"file://{tmp_path}/page.html", wide)
    script = """[...document.querySelectorAll("svg")].flatMap(svg => {
        const boxes = [...svg.querySelectorAll("text, .box")].map(one => [one, one.getBBox()])
        const meet = ([a, p], [b, q]) => p.x < q.x + q.width && q.x < p.x + p.width && p.y < q.y + q.height - 3
            && q.y < p.y + p.height - 3
        const inside = ([a, p], [b, q]) => p.x >= q.x && p.x + p.width <= q.x + q.width
            && p.y + p.height <= q.y + q.height
        const words = boxes.filter(([one]) => one.tagName == "text")
        const frames = boxes.filter(([one]) => one.tagName != "text")
        return words.filter(one => words.some(other => other != one && meet(one, other))
            || !frames.some(frame => inside(one, frame))).map(([one]) => one.textContent)})"""
    assert browser.run("document.querySelectorAll('text').length") > 12
    assert browser.run(script) == []


@pytest.mark.parametrize("depth", [6, 15])
def test_each_skip_connection_has_a_dot(depth: int) -> None:
    blocks = tuple(Block("conv", 24, inputs=tuple(range(layer + 1))) for layer in range(depth))
    image = drawing(Network(8, blocks), IMAGES)
    assert image.count("<circle") == depth * (depth - 1) // 2  # of all pairs but neighbours, for which there are arrows
    assert image.count('class="arrow"') == depth + 1


def test_a_cell_is_drawn_operation_by_operation_once() -> None:
    space = NasBench201().on(IMAGES)
    network = space.replay((1, 2, 3, 4, 0, 3)).network
    assert isinstance(network, Network)
    assert len(cells_of(network, IMAGES)) == 1
    image = drawing(network, IMAGES)
    for operation in ("identity", "conv 1×1", "conv 3×3", "average pool 3×3"):
        assert operation in image
    assert image.count('class="way"') == 5  # the edge "none" is none


@pytest.mark.parametrize("answers", [(4, 4, 4, 4, 4, 4), (4, 3, 2, 1, 4, 3), (3, 4, 1, 4, 4, 4), (0, 4, 2, 1, 0, 1)])
def test_in_a_browser_each_operation_of_a_cell_stands_on_its_own_edge_alone(
    browser: Browser, tmp_path: Path, answers: tuple[int, ...]
) -> None:
    network = NasBench201(cells=1).on(IMAGES).replay(answers).network
    assert isinstance(network, Network)
    (tmp_path / "page.html").write_text(f"<style>{style()}</style>{drawing(network, IMAGES)}")
    browser.open(f"file://{tmp_path}/page.html")
    script = """(() => {
        const cell = document.querySelector("svg > g"), svg = document.querySelector("svg").viewBox.baseVal
        const words = [...cell.querySelectorAll(".word")].filter(one => one.textContent.length > 1)
        const boxes = words.map(one => one.getBBox()), inner = box => box.x >= 0 && box.x + box.width <= svg.width
        const meet = (p, q) => p.x < q.x + q.width && q.x < p.x + p.width && p.y < q.y + q.height
            && q.y < p.y + p.height
        const on = (way, box) => [...Array(200).keys()].some(n => {
            const p = way.getPointAtLength(way.getTotalLength() * n / 199)
            return meet(box, {x: p.x, y: p.y, width: 0, height: 0})})
        const ways = [...cell.querySelectorAll(".way")], nodes = [...cell.querySelectorAll("circle")]
        return boxes.map(box => [inner(box), boxes.filter(one => meet(one, box)).length,
            ways.filter(way => on(way, box)).length, nodes.filter(node => meet(node.getBBox(), box)).length])})()"""
    edges = sum(answer > 0 for answer in answers)
    assert browser.run(script) == [[True, 1, 1, 0]] * edges  # within the picture, on itself, its own edge, no node


@pytest.mark.parametrize("space", [Chain(), Zoph()])
def test_a_network_of_built_in_blocks_is_read_back_from_its_text(space: Chain | Zoph) -> None:
    for seed in range(20):
        network = space.on(IMAGES).sample(random.Random(seed)).network
        assert isinstance(network, Network)
        assert parsed(network.written) == network


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a network",
        "network 1: 8 concat gap: mine.block width=3",
        "network 1: 8 concat gap: conv width=__import__('os')",
        "network 1: 8 concat gap: conv width=16;conv",
        "network 1: 8 concat gap: conv kernel=3",
        "network 1: 8 concat gap: conv width=4 inputs=5",
        "network 1: 8 concat gap: conv width=4 inputs=('x',)",
        "network 1: 8 concat gap: conv width=4 inputs=((0,),)",
        "network 1: 8 concat gap: conv width='4'",
        "network 1: 8 concat gap: conv width=4 extra=(1,)",
        f"network 1: {'9' * 5000} a b: ",
    ],
)
def test_what_is_no_text_of_such_a_network_is_none(text: str) -> None:
    assert parsed(text) is None


def trial(written: str) -> Trial:
    return Trial(0, (), "key", written, 0.5, None)


def test_what_cannot_be_read_is_drawn_as_its_lines_with_its_letters_as_letters() -> None:
    image = drawn(trial("network 1: 8 concat gap: <script>alert(1)</script>\x1b; b & c"), None, IMAGES)
    assert texts(image) == ["8 x 8 pixels", "<script>alert(1)</script>\\x1b", "b & c"]


def test_a_network_that_is_not_sound_is_drawn_without_shapes() -> None:
    image = drawn(trial("network 1: 8 concat gap: conv width=0; attention width=3"), None, IMAGES)
    assert "attention" in image


def test_thousands_of_blocks_are_cut_short() -> None:
    image = drawing(Network(8, tuple(Block("conv", 1 + n % 2) for n in range(2000))), IMAGES)
    assert "and 1,853 more" in image  # 2,002 rows with image and classifier, 149 of them shown
