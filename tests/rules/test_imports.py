"""Nothing imports upwards, nothing in a circle, and torch only where it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

from tests.rules.sources import ROOT, modules, tree

#: From the bottom up. A file or folder may import from its own layer and from those below.
LAYERS = (
    "errors nearest seeds site environment garbage room shown",
    "ranks",
    "architecture batches budget console resources hub interrupt micro",
    "space progress",
    "catalogue discretise limits rows space_spec tasks",
    "baselines card carrying config frames values",
    "effort",
    "rundir",
    "checkpoint formats freezing methods portions summary tracking transfer",
    "session",
    "devices",
    "backbones",
    "injection saving",
    "export feature_splits metering supernet training workspace",
    "evaluate importing memory testing",
    "search",
    "race retrain report",
    "compare",
    "strategies",
    "given",
    "stages",
    "planned_rows",
    "planning",
    "pipeline",
    "front",
    "scaling",
    "api",
    "bench tune",
    "sweep",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer.split()}
#: The only imports upwards, inside functions, each with its reason.
UPWARDS = {
    ("peftsearch.architecture", "rundir"): "saving an architecture uses the one atomic writer",
    ("peftsearch.saving", "export"): "save_pretrained writes the layers in the native format",
}
#: Where torch, transformers and datasets may be imported at the top of a file.
WITH_TORCH = (
    "backbones checkpoint devices evaluate export feature_splits formats given importing injection "
    "memory metering methods planned_rows portions race retrain saving search session stages "
    "strategies bench supernet testing training workspace"
).split()
LAZY = {"torch", "transformers", "datasets", "accelerate", "peft", "tokenizers"}


def component(module: str) -> str:
    """Return the part of a dotted name that has a layer; ``""`` for the package itself."""
    return module.split(".")[1] if "." in module else ""


def imports(module: str) -> list[tuple[str, bool]]:
    """Return what a module imports, and whether that happens inside a function."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                found.extend((alias.name, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}: relative import"
                names = [f"{child.module}.{alias.name}" for alias in child.names]
                found.extend((n if n in modules() else str(child.module), inside) for n in names)
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            visit(child, inside or function)

    visit(tree(modules()[module]), inside=False)
    return found


def of_package(module: str) -> list[tuple[str, bool]]:
    """Return the imports of a module that stay within the package."""
    return [(name, inside) for name, inside in imports(module) if name.startswith("peftsearch.")]


def test_every_module_has_a_layer() -> None:
    components = {component(module) for module in modules()} - {""}
    assert components == set(RANK)


def test_nothing_imports_upwards() -> None:
    wrong = [
        f"{module} -> {name}"
        for module in modules()
        if component(module)
        for name, inside in of_package(module)
        if RANK[component(name)] > RANK[component(module)]
        and not (inside and (module, component(name)) in UPWARDS)
    ]
    assert not wrong


def test_every_exception_is_needed() -> None:
    made = {
        (module, component(name)) for module in modules() for name, inside in of_package(module)
    }
    assert set(UPWARDS) <= made


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        module: {name for name, inside in of_package(module) if not inside} - {module}
        for module in modules()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError and names the circle


def test_report_draws_from_files_alone() -> None:
    """A report is rebuilt from the run's files: no task, model or configuration is loaded."""
    allowed = {
        "architecture",
        "catalogue",
        "errors",
        "report",
        "rundir",
        "seeds",
        "shown",
        "site",
        "space",
    }
    used = {component(n) for m in modules() if component(m) == "report" for n, _ in of_package(m)}
    assert used <= allowed


def test_heavy_libraries_are_imported_only_where_they_are_needed() -> None:
    wrong = [
        f"{module} -> {name}"
        for module in modules()
        if component(module) not in WITH_TORCH
        for name, inside in imports(module)
        if not inside and name.split(".")[0] in LAZY
    ]
    assert not wrong


def test_imports_with_torch_blocked() -> None:
    """Where torch is not to be had, everything but its users can still be imported."""
    names = [m for m in modules() if component(m) not in WITH_TORCH and m != "peftsearch.__main__"]
    code = (
        "import importlib, sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {sorted(LAZY)}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
