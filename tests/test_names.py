"""Names of values are nouns that say what they are: placeholders stay out of the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

# As in "wanted", which says that somebody wants it and not what it is.
PLACEHOLDERS = {
    "found", "own", "one", "told", "given", "known", "kept", "place", "part", "wanted", "shown", "others", "made",
}  # fmt: skip
MOST = 0.003


def assigned_names(path: Path) -> Iterator[str]:
    """Names that a module gives to values: variables, parameters and attributes of `self`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def test_names_are_counted(tmp_path):
    code = "def f(own, *rest, wanted=1):\n    found, x.kept = own\n    return [part for part in rest]\n"
    (tmp_path / "module.py").write_text(code)
    names = list(assigned_names(tmp_path / "module.py"))
    assert sorted(names) == ["found", "kept", "own", "part", "rest", "wanted"]


def test_values_have_names_that_say_what_they_are(repository):
    paths = sorted((repository / "src").rglob("*.py"))
    names = [(name, path) for path in paths for name in assigned_names(path)]
    placeholders = [f"{path.relative_to(repository)}: {name}" for name, path in names if name in PLACEHOLDERS]
    assert len(placeholders) <= MOST * len(names), "\n".join(placeholders)
