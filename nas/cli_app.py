"""The whole command line: every command, in the order of `nas --help`."""

from __future__ import annotations

import typer

from nas import cli, cli_export, cli_finish, cli_model, cli_pages

app = typer.Typer(
    help="Find convolutional networks by reinforcement learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (
    cli.search, cli.show, cli.plot, cli.compare, cli_finish.finish, cli_model.predict, cli_model.explain,
    cli_export.export, cli_pages.draw, cli_pages.report, cli_pages.watch, cli.spaces, cli.controllers, cli.presets,
    cli.check,
):  # fmt: skip
    app.command()(command)
