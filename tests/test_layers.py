"""A package imports only from the layers below it."""

import ast
from pathlib import Path

import pytest

# From the bottom to the top; what one line holds together may import from each other.
LAYERS = (
    ("errors", "labels", "files", "versions", "provenance", "progress", "remarks", "typed", "settings"),
    ("data",),
    ("dynamics",),
    ("methods", "pruning"),
    ("peers",),
    ("ensemble",),
    ("training",),
    ("automatic",),
    ("inference",),
    ("evaluation",),
    ("interventions",),
    ("figures",),
    ("estimator",),
    ("tl",),
    ("pl",),
    ("pipeline",),
    ("application", "fitting"),
    ("cli", "__init__"),
)
LEVELS = {name: level for level, names in enumerate(LAYERS) for name in names}


def imported(path: Path) -> set[str]:
    """Parts of the package that a module imports at run time, anywhere in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    types_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in types_only:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("sparsenode.")} & set(LEVELS)


def test_every_part_has_a_layer(repository):
    paths = (repository / "src" / "sparsenode").iterdir()
    parts = {path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert parts == set(LEVELS)


@pytest.mark.parametrize("part", sorted(LEVELS))
def test_imports_come_from_below(repository, part):
    package = repository / "src" / "sparsenode"
    modules = [package / f"{part}.py"] if (package / f"{part}.py").exists() else sorted((package / part).rglob("*.py"))
    assert modules
    upward = {
        f"{module.relative_to(package)} imports {name}"
        for module in modules
        for name in imported(module)
        if LEVELS[name] > LEVELS[part]
    }
    assert upward == set()
