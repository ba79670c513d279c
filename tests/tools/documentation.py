"""The hook of the documentation's site: pages that are not in docs/, and links out of it. MkDocs calls `on_...`.

The documents at the top of the checkout are pages too, and each room of the library has a page of its docstrings. None
of them is a file in docs/: nothing is copied, and nothing can be out of date.
"""

import logging
import posixpath
import re
import tomllib
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "scripts" / "asrmeter"
# Documents at the top of the checkout, and the pages that they are.
DOCUMENTS = {"ARCHITECTURE.md": "architecture.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# Links to the README lead to the home page.
_STAND_INS = DOCUMENTS | {"README.md": "index.md"}

_CODE = r"^(?P<fence>```|~~~).*?^(?P=fence)|`[^`]+`"
_LINK = r"(?<!!)\[(?P<label>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)"
_LINK_OR_CODE = re.compile(rf"{_LINK}|{_CODE}", re.MULTILINE | re.DOTALL)
_HTML_TARGET = re.compile(r"""<(?:a|img)\s[^>]*(?:href|src)=["']([^"'#:]+)["']""")

log = logging.getLogger("mkdocs.hooks.documentation")


def rooms() -> list[str]:
    """Return the rooms of the library, the lowest first, as the import contracts have them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return list(reversed(next(one["layers"] for one in contracts if one["id"] == "rooms")))


def reference() -> dict[str, str]:
    """Return the pages of the library's reference by path: an overview, and one for each room."""
    lines = "\n".join(f"| [`{room}`]({room}.md) | {_summary(LIBRARY / room / '__init__.py')} |" for room in rooms())
    overview = (
        "# Reference of the library\n\n"
        "After reading this page you can find the module that does what you need. Each room is a package of\n"
        "`asrmeter`, and imports only rooms above it in this table.\n\n"
        f"| room | what is in it |\n|---|---|\n{lines}\n\n::: asrmeter\n"
    )
    return {"api/index.md": overview} | {f"api/{room}.md": _page_of(room) for room in rooms()}


def _page_of(room: str) -> str:
    files = sorted((LIBRARY / room).rglob("*.py"), key=lambda file: file.with_name(file.name.replace("__init__", "")))
    names = [".".join(file.relative_to(LIBRARY.parent).with_suffix("").parts) for file in files]
    return "\n\n".join([f"# {room}", *(f"::: {name.removesuffix('.__init__')}" for name in names)]) + "\n"


def _summary(file: Path) -> str:
    """Return the first paragraph of a module's docstring, in a line."""
    first = re.match(r'"""(.*?)(?:\n\n|""")', file.read_text(encoding="utf-8"), re.DOTALL)
    return " ".join(first[1].split()) if first else ""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Append the reference to the navigation."""
    if config.nav is not None:
        config.nav.append({"Reference": [*reference()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for document, page in DOCUMENTS.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / document)))
    if "mkdocstrings" in config.plugins:
        for page, content in reference().items():
            files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links lead to pages, and warn of HTML that names no file, which MkDocs itself does not check."""
    place = page.file.src_uri
    at_top = next((document for document, own in DOCUMENTS.items() if own == place), None)
    for target in _HTML_TARGET.findall(markdown):
        if files.get_file_from_path(posixpath.normpath(posixpath.join(posixpath.dirname(place), target))) is None:
            log.warning(f"Doc file '{place}' names '{target}' in HTML, and there is no such file among the pages")
    return with_links(markdown, at_top or f"docs/{place}", posixpath.dirname(place))


def with_links(markdown: str, source: str, folder: str) -> str:
    """Return a document with its links as they are on the site.

    A link to another document leads to its page. Files that are no pages have no address that would hold everywhere: of
    a link to one the path stays, as code. What does not exist stays as it is, and MkDocs refuses it.

    Args:
        markdown: the document.
        source: its path in the checkout.
        folder: the folder of its page on the site, "" for the top.
    """
    return _LINK_OR_CODE.sub(lambda found: _linked(found, source, folder), markdown)


def _linked(found: re.Match[str], source: str, folder: str) -> str:
    if found["target"] is None:
        return found[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), found["target"]))
    if page := _STAND_INS.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None):
        return f"[{found['label']}]({posixpath.relpath(page, folder or '.')}{found['anchor'] or ''})"
    if path.startswith("..") or not (ROOT / path).exists():
        return found[0]
    return f"`{path}`" if found["label"].startswith("`") else f"{found['label']} (`{path}`)"
