"""The shape of the code, kept by reading it: who imports whom, sizes, docstrings."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "helixnb"

# A module may import from its own layer and from those above it in this list.
LAYERS = (
    (
        "errors",
        "listing",
        "memory",
        "progress",
        "euler",
        "symmetry",
        "parameters",
        "particles",
        "io",
    ),
    ("backend",),
    ("core",),
    ("iteration.state", "iteration.survey"),
    ("iteration.masking",),
    ("iteration.job",),
    ("iteration.claim",),
    ("iteration.schedule",),
    ("iteration.particle_pass",),
    (
        "iteration.alignment",
        "iteration.maps",
        "iteration.twist_rise",
        "iteration.flags",
        "iteration.outcome",
    ),
    ("iteration.initial", "iteration.starts", "iteration.refinement"),
    ("iteration",),
    (
        "results",
        "densities",
        "inspection",
        "map_search",
        "expansion",
        "simulate",
    ),
    ("session", "benchmark"),
    ("dashboards", "report", "serving"),
    ("commands",),
    ("cli",),
    ("__main__", ""),  # "" is the package itself, which loads names on demand
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
INTERFACE_LIBRARIES = {"param", "panel", "holoviews", "bokeh", "ipywidgets"}
HEAVY = {*INTERFACE_LIBRARIES, "numba", "pandas", "scipy", "xarray", "cupy"}

MAX_MODULE_LINES = 450
MAX_FUNCTION_LINES = 90
MAX_IMPORT_SECONDS = 0.5
# Written in two parts, or this file would find itself.
MACHINE_PATHS = ("/wor" + "k/", "/roo" + "t/")

MODULES = {
    ".".join(("helixnb", *path.relative_to(PACKAGE).with_suffix("").parts)): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _part(module: str) -> str:
    """Name of the part of the package a module lies in: helixnb.io.star -> io.

    The modules of an iteration are parts of their own, which follow each other.
    """
    names = module.removesuffix(".__init__").split(".")[1:]
    return ".".join(names if names[:1] == ["iteration"] else names[:1])


def _runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without the branches only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _runtime_nodes(child)


def _imported(node: ast.AST) -> Iterator[str]:
    """Names of the modules that an import statement may load."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            known = submodule in MODULES or f"{submodule}.__init__" in MODULES
            yield submodule if known else node.module


def _imports(module: str) -> set[str]:
    return {name for node in _runtime_nodes(TREES[module]) for name in _imported(node)}


def _functions(node: ast.AST) -> Iterator[Function]:
    return (child for child in ast.walk(node) if isinstance(child, Function))


def test_every_part_has_a_layer() -> None:
    assert {_part(module) for module in MODULES} <= set(RANK)


def test_the_table_of_the_tree_is_complete() -> None:
    """Whoever wants to change something finds every part of the package in it."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    whole, iteration = text.split("| in `helixnb/iteration/` |")
    parts = _first_column(whole)
    steps = [f"iteration.{name}" for name in _first_column(iteration)]
    assert sorted(parts + steps) == sorted(set(RANK) - {"__main__", ""})
    for named in (parts, steps):
        ranks = [RANK[part] for part in named]
        assert ranks == sorted(ranks)


def _first_column(text: str) -> list[str]:
    """Parts named in the first column of a table."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"\w+", row)]


def test_imports_go_one_way() -> None:
    upward = [
        f"{module} imports {name}"
        for module in MODULES
        for name in _imports(module)
        if name.split(".")[0] == "helixnb" and RANK[_part(name)] > RANK[_part(module)]
    ]
    assert not upward


def test_simulated_data_share_no_code_with_what_they_check() -> None:
    found = [
        f"{module} imports {name}"
        for module in MODULES
        for name in _imports(module)
        if _part(module) == "simulate"
        and name.split(".")[0] == "helixnb"
        and _part(name) not in {"simulate", "errors"}
    ]
    assert not found


def test_no_two_modules_import_each_other() -> None:
    graph = {}
    for module, tree in TREES.items():
        top = [n for node in tree.body for n in _imported(node)]
        graph[module.removesuffix(".__init__")] = {
            name for name in top if name in MODULES or f"{name}.__init__" in MODULES
        }
    list(graphlib.TopologicalSorter(graph).static_order())


def test_no_interface_library_below_session() -> None:
    found = [
        f"{module} imports {name}"
        for module in MODULES
        for name in _imports(module)
        if RANK[_part(module)] < RANK["session"]
        and name.split(".")[0] in INTERFACE_LIBRARIES
    ]
    assert not found


def test_one_module_imports_cupy() -> None:
    found = [
        module
        for module in MODULES
        if {name.split(".")[0] for name in _imports(module)} & {"cupy", "cupyx"}
    ]
    assert found == ["helixnb.backend.cuda.device"]


def test_import_is_light() -> None:
    code = (
        "import sys, time; start = time.process_time(); import helixnb; "
        f"print(time.process_time() - start, *sorted({HEAVY!r} & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        elapsed, *heavy = run.stdout.split()
        assert not heavy, f"import helixnb loads {', '.join(heavy)}"
        seconds.append(float(elapsed))
    assert min(seconds) < MAX_IMPORT_SECONDS


def test_modules_are_short() -> None:
    lines = {m: len(path.read_text().splitlines()) for m, path in MODULES.items()}
    assert not {m: n for m, n in lines.items() if n > MAX_MODULE_LINES}


def test_functions_are_short() -> None:
    """Length is counted without the docstring, which may be as long as it needs."""
    long = {}
    for module, tree in TREES.items():
        for function in _functions(tree):
            lines = _length(function)
            if lines > MAX_FUNCTION_LINES:
                long[f"{module}.{function.name}"] = lines
    assert not long


def _length(function: Function) -> int:
    """Lines of a function without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    text = function.body[0]
    return total - ((text.end_lineno or text.lineno) - text.lineno + 1)


def test_everything_public_has_a_docstring() -> None:
    bare = [f"{m}" for m, tree in TREES.items() if not ast.get_docstring(tree)]
    for module, tree in TREES.items():
        bare += [f"{module}.{name}" for name in _undocumented(tree)]
    assert not bare


def _undocumented(scope: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Public functions, classes and methods without a docstring."""
    for node in scope.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        decorators = " ".join(ast.unparse(d) for d in node.decorator_list)
        repeats = ".setter" in decorators or "overload" in decorators
        if not ast.get_docstring(node) and not repeats:
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{name}" for name in _undocumented(node))


def test_no_path_of_one_machine() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout: no list of the files that belong to it")
    found = []
    for name in listing.stdout.splitlines():
        path = REPOSITORY / name
        if path.is_file() and (where := _machine_path(path.read_bytes())):
            found.append(f"{name} holds {where}")
    assert not found


def _machine_path(content: bytes) -> str | None:
    """First path of one machine in a text file; None for binary files."""
    if b"\0" in content:
        return None
    return next((p for p in MACHINE_PATHS if p.encode() in content), None)
