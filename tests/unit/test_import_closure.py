"""What a script is made of: its imports, read as text, are those that Python would make."""

import ast
import re
from pathlib import Path

import pytest

from asrmeter.workflow import import_closure

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


def test_a_script_is_made_of_what_it_imports(tmp_path: Path) -> None:
    (tmp_path / "scripts" / "lib" / "d" / "f").mkdir(parents=True)
    for name, text in {
        "a.py": "import os\nif TYPE_CHECKING:\n    from lib import unused\n\nfrom lib.b import x\n",
        "lib/__init__.py": "",
        "lib/b.py": "def f():\n    from lib import c\n",
        "lib/c.py": "from lib import d\n",
        "lib/d/__init__.py": "import pkgutil\nfound = pkgutil.iter_modules(__path__)\n",
        "lib/d/e.py": "",
        "lib/d/f/__init__.py": "",
        "lib/unused.py": "",
    }.items():
        (tmp_path / "scripts" / name).write_text(text)
    found = import_closure.closure(tmp_path / "scripts" / "a.py", tmp_path)
    own = ("__init__", "b", "c", "d/__init__", "d/e", "d/f/__init__")
    assert found == ["scripts/a.py", *(f"scripts/lib/{name}.py" for name in own)]


def test_the_report_does_not_hang_on_measuring() -> None:
    made_of = import_closure.closure(ROOT / "scripts" / "make_report.py", ROOT)
    assert "scripts/asrmeter/report/html/page.py" in made_of
    assert not {
        "scripts/asrmeter/measure/child.py",
        "scripts/measure.py",
        "scripts/asrmeter/measure/stop_rule.py",
    } & set(made_of)


def test_each_form_of_an_import_is_read(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e", "f", "no_import"):
        (tmp_path / f"{name}.py").write_text("")
    text = "import os, a as x\nfrom b import (\n    y,  # no_import\n    z as no_import,\n)\ntry:\n\timport c\n"
    text += (
        "finally:\n    from d import y, \\\n        z  # import no_import\nno_import = 'e.f:g', ' import no_import'\n"
    )
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "f.py").write_text("")
    (tmp_path / "main.py").write_text(text)
    ast.parse(text)
    found = import_closure.closure(tmp_path / "main.py", tmp_path)
    assert found == ["a.py", "b.py", "c.py", "d.py", "e.py", "e/f.py", "main.py"]


class _WithoutTypes(ast.NodeTransformer):
    """Drops `if TYPE_CHECKING:`, which never runs."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """What each of our files names, as Python parses it: modules, and functions of modules as text."""
    found: dict[str, set[str]] = {}
    for path in SCRIPTS.rglob("*.py"):
        names = found[str(path.relative_to(SCRIPTS))] = set()
        for node in ast.walk(_WithoutTypes().visit(ast.parse(path.read_text(encoding="utf-8")))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Constant) and re.fullmatch(r"\w+(\.\w+)+:\w+", str(node.value)):
                names.add(str(node.value).partition(":")[0])
            elif isinstance(node, ast.Name) and node.id == "__path__":
                package = ".".join(path.parent.relative_to(SCRIPTS).parts)
                names.update(f"{package}.{module}" for module in _modules_of(path.parent))
    return found


def _modules_of(package: Path) -> set[str]:
    return {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.glob("*.py")))
def test_scripts_are_made_of_what_python_would_import(imported: dict[str, set[str]], script: str) -> None:
    found, open_ends = set[str](), [script]
    while open_ends:
        file = open_ends.pop()
        if file in imported and file not in found:
            found.add(file)
            parts = [name.split(".") for name in imported[file]]
            parents = {"/".join(own[:n]) for own in parts for n in range(1, len(own) + 1)}
            open_ends += [f"{name}{ending}" for name in parents for ending in (".py", "/__init__.py")]
    assert set(import_closure.closure(SCRIPTS / script, SCRIPTS)) == found
