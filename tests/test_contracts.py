"""What the packages promise each other: who imports whom, and that no import goes in a circle."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

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
