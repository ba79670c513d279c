"""The packages that our scripts can import, directly or through any code of ours that they reach."""

import ast
import re
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(__file__).parents[2] / "scripts"
_NAMED_AS_TEXT = re.compile(r"asrmeter(\.\w+)+(?=:\w+$|$)")


class Part(NamedTuple):
    """A function, class or constant in a file of ours; without a name, the code that runs on import."""

    path: Path
    name: str = ""


@cache
def packages(scripts: frozenset[str], without: frozenset[str] = frozenset()) -> dict[str, set[str]]:
    """Return the packages that code reached from the scripts can import: top-level name -> our files that import it.

    Of modules that are found by name in a folder, those named in `without` are left out.

    Code is reached if it runs on import, or if reached code names its function, class or constant. A module that
    reached code passes on as an object, or names as text (for `python -m` or importlib), is reached as a whole.
    """
    found: dict[str, set[str]] = {}
    open_ends = [Part(SCRIPTS / script) for script in scripts]
    seen: set[Part] = set()
    while open_ends:
        part = open_ends.pop()
        if part not in seen:
            seen.add(part)
            reader = _Reader(part, without)
            open_ends += reader.reached
            for name in reader.packages:
                found.setdefault(name, set()).add(str(part.path.relative_to(SCRIPTS)))
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _definitions(path: Path) -> dict[str, ast.stmt]:
    """Return the functions, classes and constants of a file by name."""
    found: dict[str, ast.stmt] = {}
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found


@cache
def _ours(path: Path) -> dict[str, Part]:
    """Return the parts of our code that a file imports, by their name in the file; without a name, a whole module."""
    names = {}
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if submodule := _file(f"{node.module}.{alias.name}"):
                    names[alias.asname or alias.name] = Part(submodule)
                elif module := _file(node.module):
                    names[alias.asname or alias.name] = Part(module, alias.name)
    return names


def _file(module: str) -> Path | None:
    """Return the file of a module of ours; None for any other module."""
    base = SCRIPTS.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


class _Reader(ast.NodeVisitor):
    """Collects the parts that a part of a file reaches, and the packages that it imports."""

    def __init__(self, part: Part, without: frozenset[str] = frozenset()) -> None:
        self._path, self._without = part.path, without
        self._named = bool(part.name)
        self.reached: list[Part] = []
        self.packages: set[str] = set()
        self._node: ast.AST = _definitions(part.path)[part.name] if part.name else _tree(part.path)
        if part.name:
            self.generic_visit(self._node)
        else:
            self._run(_tree(part.path).body)

    def _run(self, statements: list[ast.stmt]) -> None:
        """Read the code that runs on import: of functions, only decorators and default arguments."""
        for node in statements:
            if isinstance(node, ast.FunctionDef):
                for part in (*node.decorator_list, node.args):
                    self.visit(part)
            elif isinstance(node, ast.ClassDef):
                for part in (*node.decorator_list, *node.bases, *node.keywords):
                    self.visit(part)
                self._run(node.body)
            else:
                self.visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        """An annotation uses nothing."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.module and not node.level, f"{self._path}: a relative import"
        self._import(node.module)
        for alias in node.names:
            if _file(f"{node.module}.{alias.name}"):
                self._import(f"{node.module}.{alias.name}")

    def _import(self, module: str) -> None:
        names = module.split(".")
        if _file(module):
            packages = [_file(".".join(names[:end])) for end in range(1, len(names) + 1)]
            self.reached += [Part(path) for path in packages if path]
        elif names[0] not in sys.stdlib_module_names:
            self.packages.add(names[0])

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._reach(self._path, node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        whose = _ours(self._path).get(node.value.id) if isinstance(node.value, ast.Name) else None
        if whose and not whose.name:
            self._reach(whose.path, node.attr)
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        named = _NAMED_AS_TEXT.match(node.value) if self._named and isinstance(node.value, str) else None
        if named and (path := _file(named[0])):
            self._reach_all(path)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        first = node.values[0]
        if isinstance(first, ast.FormattedValue) and isinstance(first.value, ast.Name) and first.value.id == "__name__":
            # f"{__name__}.{name}": any module of this package, for what the code around takes of it
            taken = {inner.attr for inner in ast.walk(self._node) if isinstance(inner, ast.Attribute)}
            shape = "".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values[1:])
            folder, place = self._path.parent, shape.strip(".").replace(".", "/")
            for path in (*folder.glob(f"{place}.py"), *folder.glob(f"{place}/__init__.py")):
                if path.relative_to(folder).with_suffix("").parts[0] not in self._without:
                    self.reached += [Part(path), *(Part(path, name) for name in taken & set(_definitions(path)))]
        self.generic_visit(node)

    def _reach(self, path: Path, name: str) -> None:
        if name in _definitions(path):
            self.reached.append(Part(path, name))
        elif name in _ours(path):
            there = _ours(path)[name]
            if there.name:
                self._reach(*there)
            else:
                self._reach_all(there.path)

    def _reach_all(self, path: Path) -> None:
        self.reached += [Part(path), *(Part(path, name) for name in _definitions(path))]
