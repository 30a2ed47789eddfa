"""The command line's `export`: a search, or its trained network, into other tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli import console
from nas.cli_model import DataOfModel, Trust
from nas.errors import UserError

if TYPE_CHECKING:
    from nas.cache import Pixels
    from nas.model.saved import Model

REAL = 256  # images that an exported file is held against


def export(
    folder: Annotated[Path, typer.Argument(help="Of a search; for --onnx and --torch with a model, or a model's own.")],
    onnx: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the model as ONNX, to a name like model.onnx.")
    ] = None,
    torch: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the model as a torch.export program, .pt2.")
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="An image, or a folder of them, to check that file on, instead of validation images; for several, one "
            "--image each."
        ),
    ] = None,
    data: DataOfModel = None,
    trust: Trust = False,
    optuna: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Mirror the search into a study of this database: sqlite:///study.db."),
    ] = None,
    study: Annotated[str | None, typer.Option(help="The study's name; the folder's unless set.")] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the search as a table, a trial a row.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the search's curves for TensorBoard to this folder.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="The space as it was searched, where it is no built-in: file.py:Class.")
    ] = None,
) -> None:
    """Write a trained network as ONNX or for torch.export, or a search for Optuna's dashboard, a table or TensorBoard.

    A network is written once its probabilities on real images were found to be the model's; it takes uint8 images
    (N, C, H, W) of any number and size and gives logits (N, classes). A search may be under way still; the same command
    again brings what was written up to date.
    """
    if not (onnx or torch or optuna or csv or tensorboard):
        raise UserError(
            "found nothing to write, expected --onnx FILE, --torch FILE, --optuna URL, --csv FILE or --tensorboard "
            "DIR; give one or more"
        )
    asked = {"--image": image, "--data": data, "--trust": trust}
    _check_used("--onnx or --torch", onnx or torch, asked)
    _check_used("--optuna", optuna, {"--study": study})
    _check_used("--optuna or --csv", optuna or csv, {"--space": space})
    if onnx or torch:
        _export_model(folder, onnx, torch, image or [], data, trust)
    if optuna or csv or tensorboard:
        _export_search(folder, optuna, study, csv, tensorboard, space)


def _export_model(
    folder: Path, onnx: Path | None, torch: Path | None, image: Sequence[Path], data: str | None, trust: bool
) -> None:
    from nas.model import export as write
    from nas.model.saved import load

    _check_suffix("--onnx", onnx, ".onnx")
    _check_suffix("--torch", torch, ".pt2")
    model = load(folder, trust)
    pixels, what = _real(model, folder, image, data)
    for file, to in ((torch, write.to_torch), (onnx, write.to_onnx)):
        if file is not None:
            difference = to(model, file, pixels)
            console.print(
                f"{file}: probabilities differ by at most {difference:.1e} from the model's, on {what}", markup=False
            )


def _export_search(
    folder: Path, optuna: str | None, study: str | None, csv: Path | None, tensorboard: Path | None, space: str | None
) -> None:
    from nas import names

    searched = names.space(space) if space else None
    if optuna:
        from nas.beside.optuna_study import mirror, shown

        mirrored, added = mirror(folder, optuna, study, searched)
        console.print(
            f"study {mirrored.study_name!r}: {added} trials added, {len(mirrored.trials)} in all; look at it with "
            f"`optuna-dashboard {shown(optuna)}` (pip install optuna-dashboard)",
            markup=False,
        )
    if csv:
        from nas.beside.frame import export as write

        console.print(f"table: {csv}, {write(folder, csv, searched)} trials", markup=False)
    if tensorboard:
        from nas.beside.tensorboard import export as write_curves

        console.print(f"curves: `tensorboard --logdir {write_curves(folder, tensorboard)}`", markup=False)


def _check_used(by: str, there: object, options: Mapping[str, object]) -> None:
    """Raise UserError for an option that would change nothing, as what goes by it is not written."""
    unused = [name for name, value in options.items() if value]
    if unused and not there:
        raise UserError(f"{unused[0]}: found it without {by}, expected one that it is for; give {by}, or leave it out")


def _check_suffix(option: str, file: Path | None, suffix: str) -> None:
    """Raise UserError for a name that the programs which read such a file would not take."""
    if file is not None and file.suffix != suffix:
        raise UserError(f"{option}: found {str(file)!r}, expected a name that ends in {suffix}; give another")


def _real(model: Model, folder: Path, image: Sequence[Path], data: str | None) -> tuple[Pixels, str]:
    """Images to check a file on, and what they are: those given, validation images, or, and said so, none but noise."""
    import numpy as np

    from nas.model.images import all_decoded, files, part

    if image:
        pixels = all_decoded(files(image), model)
        return pixels, "the image given" if len(pixels) == 1 else f"the {len(pixels)} images given"
    try:
        known = part(model, folder, "validation", data)
    except UserError as error:
        if data is not None:
            raise
        console.print(f"{error}", markup=False, style="yellow")
        size, channels, _ = model.images
        noise = np.random.default_rng(0).integers(0, 256, (REAL, channels, size, size), np.uint8)
        return noise, f"{REAL} images of noise, for its data were not to be had; give --data, or real ones with --image"
    return np.array(known.pixels[:REAL]), f"{len(known.pixels[:REAL])} of {known.what}"
