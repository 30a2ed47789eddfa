"""The tree as DESIGN has it: imports point one way, and each module has its tests where they are looked for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPACES = sorted(path.name for path in (ROOT / "search_spaces").glob("[a-z]*.py"))
CONTROLLERS = sorted(path.name for path in (ROOT / "controllers").glob("[a-z]*.py"))
MODULES = sorted(path.stem for path in (ROOT / "nas").glob("[a-z]*.py"))
PAGES = sorted(path.stem for path in (ROOT / "nas" / "pages").glob("[a-z]*.py"))
OF_MODEL = sorted(path.stem for path in (ROOT / "nas" / "model").glob("[a-z]*.py"))

ELSEWHERE = {  # modules whose tests are those of another
    "cache": "data",
    "folder": "data",
    "npz": "data",
    "errors": "cli",
    "outcome": "finish",
    "program": "saved",
    "images": "predict",
    "pictures": "explain",
}


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "nas")


def own(path: Path) -> set[str]:
    """What a file imports of the toolkit."""
    found = {name for name in imported(path) if name.split(".")[0] in ("nas", "controllers", "search_spaces")}
    return found - {"nas"}


@pytest.mark.parametrize("file", CONTROLLERS)
def test_a_controller_knows_questions_and_candidates_only(file: str) -> None:
    assert own(ROOT / "controllers" / file) <= {"nas.space", "nas.critic", "nas.errors"}


@pytest.mark.parametrize("file", SPACES)
def test_a_space_knows_networks_and_no_training(file: str) -> None:
    known = {"nas.space", "nas.network", "nas.blocks", "nas.layers", "nas.errors"}
    assert own(ROOT / "search_spaces" / file) <= known


@pytest.mark.parametrize(
    ("module", "unknown"),
    [
        ("space", {"nas.search", "nas.pool", "nas.train", "nas.ledger", "nas.data"}),
        ("network", {"nas.search", "nas.pool", "nas.train", "nas.ledger", "nas.data", "nas.space"}),
        ("train", {"nas.search", "nas.pool", "nas.ledger"}),
        ("data", {"nas.search", "nas.pool", "nas.ledger", "nas.train", "nas.space"}),
        ("ledger", {"nas.search", "nas.pool", "nas.train", "nas.data", "nas.space"}),
        ("pool", {"nas.search", "nas.ledger"}),
    ],
)
def test_what_is_below_does_not_know_what_is_above(module: str, unknown: set[str]) -> None:
    assert not own(ROOT / "nas" / f"{module}.py") & unknown


@pytest.mark.parametrize("module", MODULES)
def test_only_the_start_of_the_program_names_spaces_and_controllers(module: str) -> None:
    assert not {name.split(".")[0] for name in own(ROOT / "nas" / f"{module}.py")} - {"nas"}


@pytest.mark.parametrize("module", OF_MODEL)
def test_what_is_done_with_a_trained_network_knows_no_controller_and_no_command_line(module: str) -> None:
    assert not {name for name in own(ROOT / "nas" / "model" / f"{module}.py") if name.startswith("nas.cli")}
    assert not {name.split(".")[0] for name in own(ROOT / "nas" / "model" / f"{module}.py")} - {"nas"}


@pytest.mark.parametrize("module", [module for module in MODULES if not module.startswith("cli_")])
def test_only_the_command_line_knows_the_command_line(module: str) -> None:
    assert "nas.cli" not in own(ROOT / "nas" / f"{module}.py")


@pytest.mark.parametrize("module", PAGES)
def test_pages_know_no_command_line_and_no_controller_by_name(module: str) -> None:
    assert {name.split(".")[0] for name in own(ROOT / "nas" / "pages" / f"{module}.py")} <= {"nas"}
    assert "nas.cli" not in own(ROOT / "nas" / "pages" / f"{module}.py")


def test_each_module_has_a_test_file_of_its_name() -> None:
    for module in MODULES:
        assert (ROOT / "tests" / "nas" / f"test_{ELSEWHERE.get(module, module)}.py").is_file(), module
    for module in PAGES:
        assert (ROOT / "tests" / "nas" / "pages" / f"test_{module}.py").is_file(), module
    for module in OF_MODEL:
        assert (ROOT / "tests" / "nas" / "model" / f"test_{ELSEWHERE.get(module, module)}.py").is_file(), module
    for folder, files in (("controllers", CONTROLLERS), ("search_spaces", SPACES)):
        for file in files:
            assert (ROOT / "tests" / folder / f"test_{file}").is_file(), file
