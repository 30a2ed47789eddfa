"""The command line's part for what is looked at in a browser. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli import console
from nas.errors import UserError, near

if TYPE_CHECKING:
    from nas.space import Space

Folder = Annotated[Path, typer.Argument(help="Of a search.")]
OwnSpace = Annotated[
    str | None, typer.Option("--space", help="The search's own space, as file.py:Class; a built-in one is found.")
]
Beside = Annotated[
    list[Path] | None,
    typer.Option(
        help="The folder of another search to compare with, of the same but controller and seed; may be repeated."
    ),
]
DRAWINGS = ("network", "preferences", "importance", "path")


def draw(
    folder: Folder,
    what: Annotated[
        str,
        typer.Option(
            help="network; or what was learnt: preferences (options over the trials), importance (of choices), path "
            "(that the controller likes best)."
        ),
    ] = "network",
    trial: Annotated[int | None, typer.Option(min=0, help="Whose network; the best one's unless set.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The drawing, as .svg; named after it in the folder unless set.")
    ] = None,
    space: OwnSpace = None,
) -> None:
    """Draw a network of a search, block by block, or what the search learnt, as SVG."""
    from nas.pages.alone import lesson, network
    from nas.pages.page import opened, unknown, write

    if what not in DRAWINGS:
        raise UserError(f"--what: found {what!r}{near(what, DRAWINGS)}, expected one of {', '.join(DRAWINGS)}")
    if trial is not None and what != "network":
        raise UserError(f"--trial: found it with --what {what}, expected it with a network; leave one out")
    if out and out.suffix.lower() != ".svg":
        raise UserError(f"{out}: found the suffix {out.suffix!r}, expected .svg; name the drawing {out.stem}.svg")
    search = opened(folder, _space(space))
    if what == "network":
        found, image = network(search, trial)
        picture = out or folder / f"network-{found}.svg"
    else:
        picture, image = out or folder / f"{what}.svg", lesson(search, what)
    write(picture, image)
    console.print(f"drawing: {picture}", markup=False)
    _say(unknown(search))


def report(
    folder: Folder,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The page; report.html in the folder unless set.")
    ] = None,
    beside: Beside = None,
    space: OwnSpace = None,
) -> None:
    """Put a search on one page, as a file of its own that any browser opens, without a network."""
    from nas.pages.page import check_beside, opened, report_of, unknown, write

    check_beside(folder, beside or [])
    search = opened(folder, _space(space))
    page = out or folder / "report.html"
    write(page, report_of(search, beside or []))
    console.print(f"report: {page}", markup=False)
    _say(unknown(search))


def watch(
    folder: Annotated[Path, typer.Argument(help="Of a search, begun or still to begin.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 for any that is free.")] = 8420,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser too.")] = False,
    beside: Beside = None,
    space: OwnSpace = None,
) -> None:
    """Show a search's page in the browser while it runs; Ctrl-C ends it."""
    from nas import ledger
    from nas.pages.page import check_beside
    from nas.pages.watch import Watched, server

    if folder.exists() and not folder.is_dir():
        own = f"its folder, {folder.parent}" if folder.name == ledger.FILE else "a search's folder"
        raise UserError(f"{folder}: found a file, expected a folder of a search, begun or still to begin; name {own}")
    ledger.begun(folder)  # so that a ledger that is damaged now is told here
    check_beside(folder, beside or [])
    with server(Watched(folder, _space(space), beside or []), port) as serving:
        address = f"http://127.0.0.1:{serving.server_address[1]}/"
        console.print(f"{folder} is at {address}; Ctrl-C ends it", markup=False)
        if not (folder / ledger.FILE).exists():
            console.print("there is no search yet; the page waits for it", markup=False)
        if open_it:
            webbrowser.open(address)
        try:
            serving.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            console.print("ended; the search, if it runs, goes on", markup=False)
            raise typer.Exit(130) from None


def _say(unknown: str) -> None:
    if unknown:
        console.print(f"{unknown[0].upper()}{unknown[1:]}.", markup=False, style="yellow")


def _space(typed: str | None) -> Space | None:
    from nas import names

    return None if typed is None else names.space(typed)
