"""The command line's part for trained networks. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from nas.cli import console
from nas.errors import UserError, plain

ModelFolder = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A folder with a model, or a search with one in it.")
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Read the program of a network whose blocks are code of its space: it can run code."),
]
DataOfModel = Annotated[
    str | None,
    typer.Option(
        "--data", "-d", help="Where the model's images are now, as in folder:/home/me/photos, unless it says so itself."
    ),
]


def predict(
    folder: ModelFolder,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Files, or folders of them.")],
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many labels of each.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line and image.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    trust: Trust = False,
) -> None:
    """Labels of images with their probabilities; a file without an image is said, and the others are gone on with."""
    from nas import names
    from nas.model.images import KINDS, files
    from nas.model.predict import predict as predicted
    from nas.model.saved import load

    model = load(folder, trust, names.device(device))
    every = files(images)
    wrong = []
    for one in predicted(model, every, top):
        if one.error:
            wrong.append(one)
        if as_json:
            print(json.dumps(_as_json(one.file, one.labels, one.error)))
        elif not one.error:
            said = "  ".join(f"{label} {share:.4f}" for label, share in one.labels)
            console.print(f"{one.file}  {said}", markup=False)
    if wrong:
        gone = sum(not one.file.exists() for one in wrong)
        mends = ["mend the paths where nothing is"] * (gone > 0)
        mends += ["save what is none anew as one of these"] * (gone < len(wrong))
        listed = "\n  ".join(f"{one.file}: {one.error}" for one in wrong[:20])
        raise UserError(
            f"found no image in {len(wrong)} of {len(every)} files, expected {KINDS}; {', '.join(mends)}, or leave "
            f"them out:\n  {listed}" + "\n  and more" * (len(wrong) > 20)
        )


def explain(
    folder: ModelFolder,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            show_default="validation, or test if the model was trained on validation images too",
            help="validation or test: which images to look at.",
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="An image, or a folder of them, to show by Grad-CAM what the model looks at; for several, one --image "
            "each."
        ),
    ] = None,
    data: DataOfModel = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    trust: Trust = False,
) -> None:
    """What a model gets wrong, how sure it is, and where it looks: figures, and pictures in MODEL/explain."""
    from nas import names
    from nas.model import EXPLAINED
    from nas.model.explain import explain as explained
    from nas.model.images import PARTS, files, part
    from nas.model.saved import found, load

    if on not in (None, *PARTS):
        raise UserError(f"--on: found {on!r}, expected validation or test; leave it out for what suits the model")
    model = load(folder, trust, names.device(device))
    out = found(folder) / EXPLAINED
    chosen = files(image) if image else []
    figures = explained(model, part(model, folder, on, data), out, chosen)
    _show(figures)
    console.print(f"pictures and figures: {out}", markup=False)


def _as_json(file: Path, labels: Sequence[tuple[str, float]], error: str) -> dict[str, Any]:
    if error:
        return {"image": str(file), "error": error}
    return {"image": str(file), "labels": [{"label": label, "probability": share} for label, share in labels]}


def _show(found: dict[str, Any]) -> None:
    """The figures in short: accuracy, the worst classes, what is confused, calibration."""
    low, high = found["interval"]
    console.print(f"on {found['of']}:", markup=False)
    console.print(f"accuracy {found['accuracy']:.4f}, 95 % interval {low:.4f} to {high:.4f}; {found['wrong']} wrong")
    console.print(_worst(found["classes"]))
    pairs = ", ".join(f"{one['said']} for {one['true']} ({one['images']})" for one in found["confused"][:5])
    if pairs:
        console.print(f"most often said in place of another: {pairs}", markup=False)
    known = found["calibration"]
    console.print(
        f"expected calibration error {known['error']:.3f} (of a perfectly calibrated model, by chance, up to "
        f"{known['by_chance']:.3f}); mean confidence {known['confidence']:.3f}"
    )
    left_out = found["gradcam"].get("left_out")
    if left_out:
        console.print(f"no Grad-CAM: {left_out}", markup=False)


def _worst(rows: Sequence[dict[str, Any]], most: int = 10) -> Table:
    """The classes that are found least often."""
    table = Table("class", "found", "95 %", "images", "right when said", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    met = sorted((row for row in rows if row["images"]), key=lambda row: float(row["accuracy"]))
    for row in met[:most]:
        low, high = row["interval"]
        precision = "" if row["precision"] is None else f"{row['precision']:.3f}"
        shown = (row["name"], f"{row['accuracy']:.3f}", f"{low:.3f}–{high:.3f}", f"{row['images']:,}", precision)
        table.add_row(*(Text(plain(cell)) for cell in shown))
    return table
