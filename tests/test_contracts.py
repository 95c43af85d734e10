"""What the packages promise each other: who imports whom, and that no import goes in a circle."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.__main__ import parser
from trainer.ask import settings_of
from trainer.requests import OfModel

ROOT = Path(__file__).parents[1]
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("trainer", "diffviz", "assets")
    for path in (ROOT / package).rglob("*.py")
}


def imports(path: Path, within_functions: bool) -> set[str]:
    """The project's modules, and the packages, that a file imports; not those for types alone."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.FunctionDef) and not within_functions:
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in FILES else node.module)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_module_imports_only_what_its_place_allows(module):
    everywhere = imports(FILES[module], within_functions=True)
    at_once = imports(FILES[module], within_functions=False)
    packages = {name.split(".")[0] for name in everywhere}
    if module.startswith("trainer"):
        assert not packages & {"PySide6", "pyqtgraph", "diffviz"}, "the engine knows no window"
    else:
        heavy = {name.split(".")[0] for name in at_once} & {"torch", "scipy", "matplotlib"}
        assert not heavy, "the window shows before torch is imported"
    if module.startswith("diffviz.widgets"):
        known = {name for name in everywhere if name.startswith(("diffviz.", "trainer."))}
        strange = {n for n in known if not n.startswith(("diffviz.widgets", "diffviz.shell.style"))}
        assert not strange, "widgets know nothing of diffusion, and of no view"
    if module.startswith("diffviz.views."):
        mine = ".".join(module.split(".")[:3])
        others = {
            name
            for name in everywhere
            if name.startswith("diffviz.views.") and (ROOT / Path(*name.split(".")[:3])).is_dir()
        }
        assert all(name.startswith(mine) for name in others), "views know nothing of each other"


def test_no_import_goes_in_a_circle():
    edges = {
        module: {name for name in imports(path, within_functions=False) if name in FILES}
        for module, path in FILES.items()
    }
    state: dict[str, str] = {}

    def visit(module: str, trail: list[str]) -> None:
        if state.get(module) == "done":
            return
        assert state.get(module) != "open", " -> ".join([*trail, module])
        state[module] = "open"
        for name in sorted(edges[module] - {module}):
            visit(name, [*trail, module])
        state[module] = "done"

    for module in sorted(edges):
        visit(module, [])


def test_no_file_is_too_long_to_read_in_one_sitting():
    long = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: n for name, n in long.items() if n > 400} == {}


@pytest.mark.parametrize("module", ["trainer", "trainer.requests", "diffviz.shell.window"])
def test_what_is_needed_first_loads_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


LOOKS = {  # settings of views that change what is seen of a model, not what is asked of it
    "place", "fraction", "chosen", "selected", "block", "map", "trained", "plot",
}  # fmt: skip
ELSEWHERE = {
    "columns": "of Samplers: several asks, which grid takes as --columns",
    "shape": "of Straight: a flow in the plane, which is of no model", "rounds": "the same",
    "checkpoint": "where every model of several is asked", "batch": "where nothing goes in batches",
}  # fmt: skip


@pytest.mark.parametrize(
    "view", sorted(p.parent.name for p in ROOT.glob("diffviz/views/*/work.py"))
)
def test_what_a_view_asks_of_a_model_some_command_asks(view):
    """Its ask is the engine's, with nothing added but how it is looked at."""
    commands = parser()._subparsers._group_actions[0].choices.values()
    offered = [{action.dest for action in command._actions} for command in commands]
    work = importlib.import_module(f"diffviz.views.{view}.work")
    asks = [kind for kind in vars(work).values() if isinstance(kind, type)
            and issubclass(kind, OfModel) and kind.__module__ == work.__name__]  # fmt: skip
    for ask in asks:
        wanted = {name for name, one in settings_of(ask).items() if not one.of}
        assert any(wanted - LOOKS - set(ELSEWHERE) <= dests for dests in offered), ask
