"""The command line whole: which commands it has, what they say of themselves, and what saying it takes."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from nas.cli_app import app

ROOT = Path(__file__).parents[2]


def commands() -> dict[str, click.Command]:
    group = typer.main.get_command(app)
    assert hasattr(group, "commands")
    found: dict[str, click.Command] = group.commands
    return found


def test_the_commands_come_in_the_order_in_which_they_are_met() -> None:
    assert list(commands()) == [
        "search", "show", "plot", "compare", "finish", "predict", "explain", "export", "draw", "report", "watch",
        "spaces", "controllers", "presets", "check",
    ]  # fmt: skip


@pytest.mark.parametrize("name", commands())
def test_every_command_and_every_option_has_a_help_text(name: str) -> None:
    command = commands()[name]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), parameter.name
    said = CliRunner().invoke(app, [name, "--help"], catch_exceptions=False, env={"COLUMNS": "200"}).output
    for parameter in command.params:
        for option in (option for option in parameter.opts if option.startswith("--")):
            assert option in said


def test_help_of_plot_names_the_file_of_each_picture() -> None:
    (out,) = [parameter for parameter in commands()["plot"].params if "--out" in parameter.opts]
    assert all(f"{name}.png" in str(getattr(out, "help", "")) for name in ("reward", "health", "pareto"))


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['nas', '--help']\n"
        "from nas.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'matplotlib', 'optuna', 'sklearn', 'torchvision'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "heavy: []"
    assert "Find convolutional networks by reinforcement learning." in done.stdout
