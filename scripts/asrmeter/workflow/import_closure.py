"""Find the project's files that a script imports. Standard library only: every start of Snakemake uses it."""

import functools
import os
import re
from pathlib import Path

# Read as text: to parse three hundred files takes as long as everything else before the plan. What reads like an import
# in a text of several lines counts too, if there is such a module.
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\w[\w.]*)[ \t]+)?import[ \t]+(\([^)]*\)|.*)", re.MULTILINE)
_FOR_TYPES = re.compile(r"^([ \t]*)if TYPE_CHECKING:\n(?:\1[ \t]+.*\n|[ \t]*\n)*", re.MULTILINE)
_COMMENT = re.compile(r"#.*")
_REFERENCE = re.compile(r"""["'](\w+(?:\.\w+)+):\w+["']""")
_LISTING = re.compile(r"\(__path__\)")


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
def _imported(path: Path, root: Path) -> set[Path]:
    """Return the modules below `root` that a file imports, packages with their `__init__.py`."""
    text = _FOR_TYPES.sub("", path.read_text(encoding="utf-8").replace("\\\n", " "))
    names = {found[1] for found in _REFERENCE.finditer(text)}
    for package, imported in _IMPORT.findall(text):
        parts = [part.split() for part in _COMMENT.sub("", imported).strip("()").split(",")]
        names.update(f"{package}.{part[0]}" if package else part[0] for part in parts if part)
    modules = _modules(root)
    with_parents = {
        ".".join(parts[:n]) for parts in (name.split(".") for name in names) for n in range(1, len(parts) + 1)
    }
    listed = {*path.parent.glob("*.py"), *path.parent.glob("*/__init__.py")} if _LISTING.search(text) else set()
    return listed | {modules[name] for name in with_parents & modules.keys()}


@functools.cache
def _modules(root: Path) -> dict[str, Path]:
    """Return the files of the modules and packages below a folder by their names."""
    found = {path.relative_to(root).with_suffix("").parts: path for path in root.rglob("*.py")}
    return {".".join(parts[:-1] if parts[-1] == "__init__" else parts): path for parts, path in found.items()}
