"""`nas export`: a search into other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli import app, console
from nas.errors import UserError


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Of a search, running or finished.")],
    optuna: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Mirror it into a study of this database, as in sqlite:///study.db."),
    ] = None,
    study: Annotated[str | None, typer.Option(help="The study's name; the folder's unless set.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a table, a trial a row, to this file.")] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write curves for TensorBoard to this folder.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="The space as it was searched, where it is no built-in: file.py:Class.")
    ] = None,
) -> None:
    """Give a search to Optuna's dashboard, a table or TensorBoard; the same command again brings them up to date."""
    from nas import names

    if not (optuna or csv or tensorboard):
        raise UserError("nas export: found nothing to write, expected --optuna URL, --csv FILE or --tensorboard DIR")
    searched = names.space(space) if space else None
    if optuna:
        from nas.beside.optuna_study import mirror

        mirrored, added = mirror(folder, optuna, study, searched)
        console.print(
            f"study {mirrored.study_name!r}: {added} trials added, {len(mirrored.trials)} in all; look at it with "
            f"`optuna-dashboard {optuna}` (pip install optuna-dashboard)",
            markup=False,
        )
    if csv:
        from nas.beside.frame import export as write

        console.print(f"table: {csv}, {write(folder, csv, searched)} trials", markup=False)
    if tensorboard:
        from nas.beside.tensorboard import export as write_curves

        console.print(f"curves: `tensorboard --logdir {write_curves(folder, tensorboard)}`", markup=False)
