"""A network as a drawing: its blocks from the image down to the classifier, and who takes whose output.

What a block takes from the one above it is a short arrow. Any other input runs in a lane at the left: it leaves the
block that gives it, goes down, and has a dot where a block takes it. Blocks that are graphs of operations, as the
cells of NAS-Bench-201, are drawn once more beside it, operation by operation.
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from markupsafe import Markup

from nas.blocks import DEFAULTS, Block
from nas.errors import UserError, plain
from nas.layers import Attention, Conv, Costs, Dropout, Graph, Layers, Linear, Pool, Shape, costs_of, out_of
from nas.ledger import Trial
from nas.network import KEY_VERSION, Images, Network, Stage
from nas.pages.chart import NOTHING, said
from nas.space import Space, shorten
from nas.summary import described

MOST_ROWS = 150  # blocks drawn; what has more is no longer seen as a whole
WIDTH, HIGH, GAP, LANE = 290, 38, 12, 11  # pixels: a box, from its end to the next one, from lane to lane
LINE = 15  # pixels that a box is higher, in a drawing in which a detail takes two lines
LETTERS = {"name": 7.8, "end": 7.2, "less": 6.5}  # pixels that a letter takes, in wide fonts
TOP, STEP = 36, 54  # pixels: above a cell's first node, from node to node
ROOM = WIDTH - 32  # pixels for two texts side by side
CLASSIFIER = "classifier"
LANES = 6  # colours of lanes
WRITTEN = re.compile(rf"network {KEY_VERSION}: (\d+) (\w+) (\w+): (.*)", re.DOTALL)
MODULE = re.compile(r"\b[^\W\d][\w.<>]*\.(?=\w)")  # before the name of a block of one's own
FIELD = re.compile(rf" (?=(?:{'|'.join(DEFAULTS)})=)")


class Row(NamedTuple):
    """One box: what it is, and the rows that it takes its input from, 0 for the first one."""

    name: str
    detail: str = ""
    shape: str = ""
    cost: str = ""
    sources: tuple[int, ...] = ()
    family: str = "other"


def drawing(network: Network, images: Images | None) -> Markup:
    """The network as SVG. images: of its data; without them there are no shapes and costs, for channels are unknown."""
    return picture(rows_of(network, images), cells_of(network, images))


def drawn(trial: Trial, space: Space | None, images: Images | None) -> Markup:
    """A trial's network as SVG. space: on its data; without it, networks of built-in blocks are read from their text.

    What cannot be read is drawn as the lines of its text.
    """
    network = space.replay(trial.answers, trial.trial).network if space else parsed(trial.network)
    if isinstance(network, Network):
        return drawing(network, images)
    lines = described(trial.network)
    return picture([Row(line, sources=(max(0, n - 1),)) for n, line in enumerate(lines)][:MOST_ROWS])


def read_as(image: str) -> str:
    """How one or several of these drawings are read, as far as they have what there is to say of."""
    ends = f">{CLASSIFIER}</text>" in image
    said = ["From the image at the top to the classifier." if ends else "From the first block at the top to the last."]
    said += ["At the right of a block: channels × height × width of its output."] * ('class="end"' in image)
    said += ["A line at the left is an output that is taken further down, at its dots."] * ('class="lane' in image)
    return " ".join(said)


def parsed(written: str) -> Network | None:
    """The network of built-in blocks that is written so; None for anything else. Nothing is run."""
    found = WRITTEN.fullmatch(written)
    if found is None:
        return None
    size, join, head, blocks = found.groups()
    try:
        network = Network(int(size), tuple(_block(text) for text in blocks.split("; ") if text), join, head)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return network if network.written == written else None


def _block(written: str) -> Block:
    name, *fields = FIELD.split(written)
    pairs = [field.partition("=") for field in fields]
    return Block.read(name, {field: ast.literal_eval(value) for field, _, value in pairs})


# --- what is drawn ---


def rows_of(network: Network, images: Images | None) -> list[Row]:
    """The image, the blocks and the classifier; equal blocks in a row of a chain are one row."""
    stages = _stages(network, images)
    if not stages or not images:
        blocks = [
            Row(_called(block), _fields(block), sources=_inputs(n, block)) for n, block in enumerate(network.blocks)
        ]
        return _first([Row("image"), *blocks])
    *inner, last = stages
    rows = [_row(block, stage) for block, stage in zip(network.blocks, inner, strict=True)]
    if all(block.inputs is None for block in network.blocks):
        rows = _merged(rows)
        last = last._replace(sources=(len(rows),))
    size = f"resized to {network.input_size} × {network.input_size}"
    first = Row("image", "" if images.size == network.input_size else size, _shape(inner[0].shape if inner else None))
    return _first([first, *rows, _classifier(network, last, images)])


def cells_of(network: Network, images: Images | None) -> list[Graph]:
    """The graphs of more than two nodes that blocks are made of, those of equal operations once."""
    found: dict[str, Graph] = {}
    for stage in _stages(network, images) or ():
        layers = stage.layers
        if isinstance(layers, tuple) and len(layers) == 1 and isinstance(layers[0], Graph) and len(layers[0].nodes) > 1:
            found.setdefault(str(list(_edges(layers[0]))), layers[0])
    return list(found.values())[:3]


def _stages(network: Network, images: Images | None) -> tuple[Stage, ...] | None:
    """None where they cannot be known, or where the network is not sound."""
    if images is None:
        return None
    try:
        network.costs(images)
        return network.stages(images.channels)
    except UserError:
        return None


def _row(block: Block, stage: Stage) -> Row:
    layers = stage.layers
    if not isinstance(layers, tuple):
        from nas.modules import measured  # torch is there: a block function of one's own has made the module

        params = sum(weights.numel() for weights in layers.parameters())
        shape = _shape(measured(layers, stage.shape))
        return Row(_called(block), _fields(block), shape, _cost(Costs(params, 0)), stage.sources)
    kernel = _window(layers)
    name = f"{_called(block)} {kernel}" if kernel else _called(block)
    costs = costs_of(layers, stage.shape)
    return Row(name, _fields(block), _shape(out_of(layers, stage.shape)), _cost(costs), stage.sources, _family(layers))


def _classifier(network: Network, last: Stage, images: Images) -> Row:
    assert isinstance(last.layers, tuple)
    layers = (*last.layers, Linear(images.classes))
    joined = f"{len(last.sources)} joined, " if len(last.sources) > 1 else ""
    pooled = "global pooling" if network.head == "gap" else "all positions"
    cost = _cost(costs_of(layers, last.shape))
    return Row(CLASSIFIER, f"{joined}{pooled}", f"{images.classes} classes", cost, last.sources, "dense")


def _first(rows: list[Row]) -> list[Row]:
    left = len(rows) - MOST_ROWS
    return rows if left <= 0 else [*rows[: MOST_ROWS - 1], Row(f"… and {left + 1:,} more", sources=(MOST_ROWS - 2,))]


def _merged(rows: Sequence[Row]) -> list[Row]:
    """Rows of a chain, equal neighbours as one: their number in its name, all their cost."""
    merged: list[Row] = []
    for _, run in itertools.groupby(rows, key=lambda row: row._replace(sources=())):
        same = list(run)
        row = same[0]._replace(sources=(len(merged),))
        if len(same) > 1:
            row = row._replace(name=f"{len(same)} × {row.name}", cost=f"{row.cost} each" if row.cost else "")
        merged.append(row)
    return merged


def _inputs(number: int, block: Block) -> tuple[int, ...]:
    given = (number,) if block.inputs is None else block.inputs or (0,)
    return tuple(source for source in given if isinstance(source, int) and 0 <= source <= number)


def _called(block: Block) -> str:
    """As a network is written; blocks of built-in spaces without their module's name."""
    built_in = getattr(block.kind, "__module__", "").startswith("search_spaces.")
    return block.name.rpartition(".")[2] if built_in else block.name


def _fields(block: Block) -> str:
    """What a block sets, but for its kernel, which its name has, its width, which its shape has, and its inputs."""
    set_here = {name: value for name, value in vars(block).items() if name in DEFAULTS and value != DEFAULTS[name]}
    return ", ".join(
        f"{name} {value}" for name, value in set_here.items() if name not in ("kernel", "width", "inputs", "extra")
    )


def _shape(shape: Shape | None) -> str:
    return f"{shape.channels} × {shape.size} × {shape.size}" if shape else ""


def _cost(costs: Costs) -> str:
    return f"{said(costs.params)} parameters" if costs.params else ""


def _all(layers: Layers) -> Iterator[object]:
    """The layers, those within graphs too."""
    for layer in layers:
        if isinstance(layer, Graph):
            yield from (inner for edges in layer.nodes for _, way in edges for inner in _all(way))
        else:
            yield layer


def _window(layers: Layers) -> str:
    """The largest kernel among them, as "3×3"."""
    sides = [layer.sides if isinstance(layer, Conv) else (layer.kernel, layer.kernel)
             for layer in _all(layers) if isinstance(layer, Conv | Pool)]  # fmt: skip
    height, width = max(sides, default=(0, 0))
    return f"{height}×{width}" if height else ""


def _family(layers: Layers) -> str:
    """What gives a box its colour."""
    kinds = {type(layer) for layer in _all(layers)}
    for kind, name in ((Attention, "attention"), (Conv, "conv"), (Linear, "dense"), (Pool, "pool")):
        if kind in kinds:
            return name
    return "other"


# --- how it is drawn ---


def picture(rows: Sequence[Row], cells: Sequence[Graph] = ()) -> Markup:
    """Rows as boxes with their lanes, and below them the cells."""
    lanes = lanes_of(rows)
    left = 2 + (12 + LANE * (max(lanes.values()) + 1) if lanes else 0)
    tall = HIGH + LINE * any(len(_lines(row)) > 1 for row in rows)
    parts = [*_lanes(rows, lanes, left, tall)]
    parts += itertools.chain.from_iterable(_box(n, row, left, tall) for n, row in enumerate(rows))
    parts += [_arrow(n, left, tall) for n, row in enumerate(rows) if n and n - 1 in row.sources]
    wide, high = left + WIDTH, (tall + GAP) * len(rows) - 6
    for graph in cells:
        drawn, across, below = _cell(graph, left + WIDTH)
        parts.append(Markup('<g transform="translate(0 {})">{}</g>').format(high, drawn))
        wide, high = max(wide, across), high + below
    return svg(wide + 4, high, parts, "a network's blocks")


def svg(width: int, height: int, parts: Iterable[Markup], name: str) -> Markup:
    """An image of so many pixels that can shrink."""
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="drawing" width="{0}" height="{1}" viewBox="0 0 {0} {1}" '
        'role="img" aria-label="{2}">{3}</svg>'
    ).format(width, height, name, NOTHING.join(parts))


@cache
def style() -> str:
    """The colours and letters of drawings."""
    return (files("nas.pages") / "drawing.css").read_text()


def lanes_of(rows: Sequence[Row]) -> dict[int, int]:
    """The lane, from 0, of each row whose output is taken further down than by the next one.

    A lane is used again once the last row that takes its output is passed; longer ways are further out.
    """
    ends = {source: number for number, row in enumerate(rows) for source in row.sources if source < number - 1}
    lanes: dict[int, int] = {}
    for start in sorted(ends):
        busy = {lane for other, lane in lanes.items() if ends[other] > start}
        lanes[start] = next(lane for lane in itertools.count() if lane not in busy)
    return lanes


def _lanes(rows: Sequence[Row], lanes: dict[int, int], left: int, tall: int) -> Iterator[Markup]:
    """Each way from the row that gives to the last that takes, then the ways into each row, with their dots."""
    every = tall + GAP
    for start, lane in lanes.items():
        end = max(number for number, row in enumerate(rows) if start in row.sources)
        across, top, bottom = left - 12 - LANE * lane, every * start + tall - 10, every * end + 10
        yield Markup('<path class="lane l{}" d="M{} {}H{}Q{} {} {} {}V{}"/>').format(
            lane % LANES, left, top, across + 5, across, top, across, top + 5, bottom
        )
    for number, row in enumerate(rows):
        taken = [(lanes[source], source) for source in row.sources if source < number - 1]
        if taken:
            furthest = left - 12 - LANE * max(taken)[0]
            yield Markup('<path class="into" d="M{} {}H{}"/>').format(furthest, every * number + 10, left)
        for lane, source in taken:
            at = left - 12 - LANE * lane, every * number + 10
            yield Markup('<circle class="l{}" cx="{}" cy="{}" r="3.2"><title>{} into {}</title></circle>').format(
                lane % LANES, *at, rows[source].name, row.name
            )


def _box(number: int, row: Row, left: int, tall: int) -> Iterator[Markup]:
    top = (tall + GAP) * number
    name, detail = plain(row.name), plain(row.detail)
    yield Markup('<rect class="box" x="{}" y="{}" width="{}" height="{}" rx="5"><title>{}</title></rect>').format(
        left, top, WIDTH, tall, f"{name}; {detail}" if detail else name
    )
    yield Markup('<rect class="{}" x="{}" y="{}" width="4" height="{}" rx="2"/>').format(row.family, left, top, tall)
    most = (ROOM - LETTERS["end"] * len(row.shape)) / LETTERS["name"]
    called = _cut(name if len(name) <= most else MODULE.sub("", name, count=1), most)
    for kind, across, down, text in (
        ("name", 12, 16, called), ("end", WIDTH - 8, 16, row.shape), ("less end", WIDTH - 8, 31, row.cost),
        *(("less", 12, 31 + LINE * line, text) for line, text in enumerate(_lines(row))),
    ):  # fmt: skip
        if text:
            yield Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, left + across, top + down, text)


def _lines(row: Row) -> list[str]:
    """A row's detail in one line beside its cost, or in two; fields that have no room there are left out whole."""
    detail = plain(row.detail)
    rooms = [int((ROOM - LETTERS["less"] * len(cost)) / LETTERS["less"]) for cost in (row.cost, "")]
    if len(detail) <= rooms[0]:
        return [detail] if detail else []
    fields, lines = detail.split(", "), [""]
    for place, field in enumerate(fields):
        joined = f"{lines[-1]}, {field}" if lines[-1] else field
        more = len(lines) == 2 and place < len(fields) - 1
        room = rooms[len(lines) - 1] - 3 * more  # letters that tell that there is more
        if len(joined) <= room:
            lines[-1] = joined
        elif len(lines) == 1:
            lines.append(field)
        else:
            lines[-1] += ", …"
            break
    return [_cut(line, rooms[1]) for line in lines]


def _cut(text: str, most: float) -> str:
    """The text in at most so many letters, its middle left out."""
    return text if len(text) <= most else shorten(text, max(2, int(most) - 3))


def _arrow(number: int, left: int, tall: int) -> Markup:
    """From a row's predecessor into it."""
    every = tall + GAP
    across, top, end = left + 24, every * (number - 1) + tall, every * number
    return Markup('<path class="arrow" d="M{0} {1}V{2}m-3 -4l3 4l3 -4"/>').format(across, top, end - 1)


def _edges(graph: Graph) -> Iterator[tuple[int, int, str]]:
    """(from, to, what it does), as the graph has them."""
    for node, edges in enumerate(graph.nodes, 1):
        yield from ((source, node, _operation(layers)) for source, layers in edges)


def _operation(layers: Layers) -> str:
    """What an edge does, in words."""
    words = []
    for layer in layers:
        if isinstance(layer, Conv):
            words.append(f"conv {layer.sides[0]}×{layer.sides[1]}")
        elif isinstance(layer, Pool):
            words.append(f"{layer.kind} pool {layer.kernel}×{layer.kernel}")
        elif isinstance(layer, Attention | Linear | Dropout | Graph):
            words.append(type(layer).__name__.lower())
    return ", ".join(words) or "identity"


def _cell(graph: Graph, width: int) -> tuple[Markup, int, int]:
    """Its nodes one below the other, each edge a way with its operation; how wide, `width` at least, and high it is.

    Edges that pass nodes by go around them, at the left from even nodes and at the right from odd ones.
    """
    edges = [(start, end, shorten(operation, 24)) for start, end, operation in _edges(graph)]
    half = LETTERS["less"] / 2 * max((len(operation) for *_, operation in edges), default=0)
    outs = [_out(start, end, half) for start, end, _ in edges]
    left, right = half - min(0.0, *outs), half + max(0.0, *outs)
    wide = max(width, math.ceil(left + right))
    across = round((wide + left - right) / 2)
    ways = [_way(edge, across, out) for edge, out in zip(edges, outs, strict=True)]
    circles = [
        Markup('<circle class="node" cx="{0}" cy="{1}" r="9"/><text class="word" x="{0}" y="{2}">{3}</text>').format(
            across, top, top + 4, node
        )
        for node, top in enumerate(range(TOP, TOP + STEP * (len(graph.nodes) + 1), STEP))
    ]
    title = Markup('<text class="less" x="4" y="14">a cell: from its input 0; nodes sum their edges</text>')
    parts = [title, *(way for way, _ in ways), *(word for _, word in ways), *circles]
    return NOTHING.join(parts), wide, TOP + STEP * len(graph.nodes) + 20


def _out(start: int, end: int, half: float) -> float:
    """How far from the nodes an edge's operation stands, pixels, so that of four nodes none stands on another edge.

    half: of the longest operation, pixels.
    """
    around = end - start - 1
    return (8 + 1.2 * half * around) * (-1 if start % 2 == 0 else 1) if around else 0


def _way(edge: tuple[int, int, str], across: int, out: float) -> tuple[Markup, Markup]:
    """An edge, and what it does, in its middle."""
    start, end, operation = edge
    top, bottom = TOP + STEP * start, TOP + STEP * end
    line = Markup('<path class="way" d="M{0} {1}C{2:.0f} {1} {2:.0f} {3} {0} {3}"/>').format(
        across, top, across + out / 0.75, bottom
    )
    word = Markup('<text class="word" x="{:.0f}" y="{}">{}</text>').format(
        across + out, (top + bottom) // 2 + 4, operation
    )
    return line, word
