"""Find the project's files that a script imports. Standard library only: every start of Snakemake uses it."""

import ast
import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

_REFERENCE = re.compile(r"\w+(\.\w+)+:\w+")


def closure(script: Path, base: Path) -> list[str]:
    """Return the script and our modules that it imports, directly or indirectly, as sorted paths relative to `base`.

    Imports inside functions count too, as do functions named in a string (`asrmeter.report.figures.cells:wer_figure`)
    and all modules of a package that lists them by its `__path__`. Imports for types alone do not count: none is run.
    """
    root = script.parent
    found: set[Path] = set()
    open_ends = [script]
    while open_ends:
        path = open_ends.pop()
        if path not in found:
            found.add(path)
            open_ends += _imported(path, root)
    return sorted(os.path.relpath(path, base) for path in found)


@functools.cache
def _imported(path: Path, root: Path) -> list[Path]:
    """Return the modules below `root` that a file imports, packages with their `__init__.py`."""
    names: set[str] = set()
    listed: list[Path] = []
    for node in _nodes_that_run(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _REFERENCE.fullmatch(node.value):
            names.add(node.value.partition(":")[0])
        elif isinstance(node, ast.Name) and node.id == "__path__":
            listed = [*path.parent.glob("*.py"), *path.parent.glob("*/__init__.py")]
    modules = [root.joinpath(*name.split(".")) for name in names]
    candidates = [module.with_name(f"{module.name}.py") for module in modules]
    for module in modules:
        while module != root:
            candidates.append(module / "__init__.py")
            module = module.parent
    return listed + [candidate for candidate in candidates if candidate.is_file()]


def _nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a file without those below `if TYPE_CHECKING:`."""
    open_ends = [tree]
    while open_ends:
        node = open_ends.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            open_ends += node.orelse
        else:
            open_ends += ast.iter_child_nodes(node)
