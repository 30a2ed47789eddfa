"""The model card: what a trained network is, how good, against what, and where it should not be trusted.

Mitchell et al., "Model Cards for Model Reporting", 2019.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.errors import plain
from nas.model.contest import ranking_table
from nas.model.judge import COLUMNS, SURE, Figures, of_seeds, seeds_each, table
from nas.progress import duration
from nas.reward import Bounds
from nas.space import shorten
from nas.summary import described

MOST_NAMES = 30  # classes
PEERS = (
    "Peers are as in their papers, but: they take images at their own size, 224 pixels a side at most (the MLP, which "
    "has batch norm, 32); ResNet-20 has projections as shortcuts; MobileNets leave out their first strides on small "
    "images, so that 2 x 2 positions are left at least."
)


def card(found: Figures, classes: Sequence[str]) -> str:
    """The text of README.md, in Markdown, to which `nas.model.saved.save` adds how the folder is used.

    found: as `nas.model.finish.finish` gives it.  classes: their names.
    """
    parts = {
        "": _head(found),
        "Data": _data(found, classes),
        "Network": ["```", *described(found["model"]["network"]), "```"],
        "Beside others": [
            *markdown(COLUMNS, table(found["rows"])),
            "",
            *(f"- {one}" for one in found["verdict"]),
            "",
            _terms(found),
            "",
            PEERS,
        ],
        "Training": [_recipe(found)],
        "Search": _search(found),
        "Limits": _limits(found),
    }
    return "\n\n".join("\n".join([f"## {name}\n"] * bool(name) + list(lines)) for name, lines in parts.items()) + "\n"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines; what a cell holds stays in it."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _head(found: Figures) -> list[str]:
    model, images = found["model"], found["images"]
    low, high = model["interval"]
    return [
        f"# A network for {found['search']['data']}",
        "",
        f"Test accuracy {100 * model['accuracy']:.2f} %, 95 % interval {100 * low:.2f} to {100 * high:.2f}, on "
        f"{images['test']:,} images that neither the search nor any training has seen. It is seed {model['seed']} of "
        f"{found['seeds']}, chosen before the test images were touched.",
        "",
        f"{model['params']:,} parameters, {model['madds']:,} multiply-adds for one image.",
    ]


def _data(found: Figures, classes: Sequence[str]) -> list[str]:
    images = found["images"]
    return [
        f"`{found['search']['data']}`: the search had {images['train']:,} images to train on and {images['valid']:,} "
        f"for validation; the weights here are from both, {images['train'] + images['valid']:,}. The "
        f"{images['test']:,} test images were looked at once, when everything was trained.",
        "",
        f"{len(classes):,} classes: {_named(classes)}.",
    ]


def _named(classes: Sequence[str]) -> str:
    """Their names as code, for they may hold anything; of many the first."""
    names = ", ".join(
        f"`{shorten(' '.join(plain(name).split()), 40).replace('`', chr(39))}`" for name in classes[:MOST_NAMES]
    )
    return names + f" and {len(classes) - MOST_NAMES:,} more" * (len(classes) > MOST_NAMES)


def _terms(found: Figures) -> str:
    return (
        f"Accuracy, precision, recall and F1 in percent, {of_seeds(found['seeds'])}; all trained by one recipe on "
        "the same images. 95 % is for the luck of the test images"
        f"{', that of a difference for the luck of seeds too' if found['seeds'] >= SURE else ''}; seeds is the range "
        "over seeds, seconds are those of one training."
    )


def _recipe(found: Figures) -> str:
    return ", ".join(f"{name} {value}" for name, value in found["recipe"].items())


def _search(found: Figures) -> list[str]:
    search, model = found["search"], found["model"]
    versions = ", ".join(f"{name} {version}" for name, version in (search["versions"] or {}).items())
    bounds = str(Bounds(**search.get("bounds", {})))  # older figures have none
    size = f", {search['size']} networks" if search.get("size") else ""
    return [
        f"{search['space']}{size}, {search['controller']}, seed {search['seed']}, reward {search['reward']}"
        f"{', within ' + bounds if bounds else ''}: "
        f"{search['trials']:,} trials, {search['networks']:,} networks trained, in {duration(search['wall_seconds'])} "
        f"({duration(search['device_seconds'])} of training). This is trial {model['trial']}, network {model['key']}.",
        f"Finishing took {duration(found['seconds'])} of training more{_random(found)}. On {search['cpu']}"
        f"{' with ' + search['gpu'] if search['gpu'] else ''}; {versions}.",
        "",
        *_ranking(found),
    ]


def _random(found: Figures) -> str:
    """What the random search took that the finish made; older figures do not say."""
    seconds = found.get("random_seconds")
    return "" if seconds is None else f", the random search beside it {duration(seconds)}"


def _ranking(found: Figures) -> list[str]:
    by = found.get("ranked", "by validation accuracy")
    said = f"Its best networks were trained again, {seeds_each(found['seeds'])}, and ranked {by}."
    return [said, "", *markdown(*ranking_table(found["ranking"]))]


def _limits(found: Figures) -> list[str]:
    return [
        "- It knows its own classes only: whatever an image shows, one of them is given. Its probabilities "
        "were not calibrated by this program; `nas explain` measures how far off they are.",
        "- Its accuracy holds for images like those of its data; of others, nothing is known.",
        f"- The network was chosen among {found['search']['networks']:,} by the same validation images by which these "
        "are ranked, so that validation accuracies are too high; the test accuracy is not.",
        "- Intervals are those of single comparisons: with many of them, one in twenty misleads.",
    ]
