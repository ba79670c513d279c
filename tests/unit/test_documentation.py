"""The documentation's site: a dead link of any kind fails the build, and links out of docs/ become what holds there."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown.extensions.toc import slugify
from mkdocs.commands.build import build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort

from asrmeter.common.paths import ROOT
from tools.documentation import reference, rooms, with_links

DOCS = ROOT / "docs"
# Pages of one link each that leads nowhere.
DEAD = {
    "page": "[text](nowhere.md)",
    "anchor": "[text](good.md#nowhere)",
    "own_anchor": "[text](#nowhere)",
    "file": "[text](../scripts/nowhere.py)",
    "outside": "[text](../../nowhere.md)",
    "picture": "![text](nowhere.png)",
    "html": '<img src="nowhere.png" alt="text">',
    "absolute": "[text](/good.md)",
    "document": "[text](../CONTRIBUTING.md#nowhere)",
}
# What documents name by its place in the checkout or in the library.
FOLDERS = [path.name for top in (ROOT, ROOT / "scripts" / "asrmeter") for path in top.iterdir() if path.is_dir()]
FOLDERS = sorted({*FOLDERS} - {"results", "runs", "site"})
# Files that a reader is told to make.
THE_READERS_OWN = {"studies/mine.yaml"}
GOOD = """# Good

## Part

[own](#part), [page](good.md#part), [document](../CONTRIBUTING.md), [file](../config.yaml),
[room](../scripts/asrmeter/), [elsewhere](https://example.org/a.md), `[code](nowhere.md)`, <img src="dot.png" alt="dot">

```md
[code](nowhere.md)
```
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """Yield the site that mkdocs.yml makes of these pages, and what MkDocs says of them."""
    folder = tmp_path_factory.mktemp("documentation")
    docs = folder / "docs"
    docs.mkdir()
    for name, text in {"good": GOOD, **{name: f"# Dead\n\n{link}\n" for name, link in DEAD.items()}}.items():
        (docs / f"{name}.md").write_text(text, encoding="utf-8")
    (docs / "dot.png").write_bytes((DOCS / "report-narrow.png").read_bytes())
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("mkdocs").addHandler(handler)
    # Without the reference of the library, which takes seconds.
    config = load_config(
        str(ROOT / "mkdocs.yml"), docs_dir=str(docs), site_dir=str(folder / "site"), plugins=["search"]
    )
    config.nav = None
    config.plugins.on_startup(command="build", dirty=False)
    with pytest.raises(Abort):
        build(config)
    logging.getLogger("mkdocs").removeHandler(handler)
    yield folder / "site", told


@pytest.mark.parametrize("name", DEAD)
def test_a_dead_link_is_told_and_fails_the_build(site: tuple[Path, list[str]], name: str) -> None:
    _, told = site
    assert [line for line in told if line.startswith(f"Doc file '{name}.md'")], told


def test_make_docs_fails_at_a_dead_link(tmp_path: Path) -> None:
    (command,) = re.findall(r"(mkdocs build.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Dead\n\n[text](nowhere.md)\n", encoding="utf-8")
    config = {"INHERIT": str(ROOT / "mkdocs.yml"), "nav": ["index.md"], "plugins": ["search"], "hooks": []}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config | {"extra_css": []}), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "--config-file", tmp_path / "mkdocs.yml"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Aborted with 1 warnings in strict mode" in done.stdout


def test_what_exists_is_no_dead_link(site: tuple[Path, list[str]]) -> None:
    folder, told = site
    assert not [line for line in told if line.startswith("Doc file 'good.md'")], told
    page = (folder / "good.html").read_text(encoding="utf-8")
    assert 'href="contributing.html"' in page
    assert "file (<code>config.yaml</code>)" in page
    assert "room (<code>scripts/asrmeter</code>)" in page
    assert 'href="https://example.org/a.md"' in page
    assert "<code>[code](nowhere.md)</code>" in page


def test_documents_at_the_top_are_pages(site: tuple[Path, list[str]]) -> None:
    folder, _ = site
    for name in ("architecture", "contributing", "changelog"):
        title = (ROOT / f"{name.upper()}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        assert f"<h1 id={name!r}>".replace("'", '"') + title in (folder / f"{name}.html").read_text(encoding="utf-8")


def test_a_page_fetches_nothing_from_other_hosts(site: tuple[Path, list[str]]) -> None:
    folder, _ = site
    page = (folder / "contributing.html").read_text(encoding="utf-8")
    fetched = [
        part for part in page.split("<") if part.startswith(("script", "link", "img", "iframe")) and "//" in part
    ]
    assert not [part for part in fetched if 'src="http' in part or 'href="http' in part or '"//' in part], fetched


@pytest.mark.parametrize(
    ("link", "made"),
    [
        ("[a](docs/method.md#energy)", "[a](method.md#energy)"),
        ("[a](README.md)", "[a](index.md)"),
        ("[`a`](config.yaml)", "`config.yaml`"),
        ("[a](nowhere.md)", "[a](nowhere.md)"),
    ],
)
def test_links_of_documents_at_the_top(link: str, made: str) -> None:
    assert with_links(link, "ARCHITECTURE.md", "") == made


def test_the_reference_has_every_module_once() -> None:
    directives = [line for page in reference().values() for line in page.splitlines() if line.startswith("::: ")]
    library = ROOT / "scripts" / "asrmeter"
    files = [file for file in library.rglob("*.py") if file.parent != library]
    assert len({*directives}) == len(directives) == len(files) + 1
    assert {path.name for path in library.iterdir() if (path / "__init__.py").is_file()} == {*rooms()}


@pytest.mark.parametrize("document", ["README.md", "studies/README.md"])
def test_links_of_documents_that_are_no_pages(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"""(?:\]\(|src="|href=")([^)\s#:"]*)(#[^)\s"]*)?[)"]""", text)
    for target, anchor in links:
        path = (ROOT / document).parent / target if target else ROOT / document
        assert path.exists(), target
        assert not anchor or anchor[1:] in headings(path), f"{target}{anchor}"


def headings(path: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {slugify(line.replace("`", ""), "-") for line in lines}


def test_every_file_that_a_document_names_exists() -> None:
    documents = [*map(ROOT.joinpath, ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")), *DOCS.glob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in documents)
    named = {*re.findall(rf"(?<![\w/.-])((?:{'|'.join(FOLDERS)})/[\w./-]*\w\.[a-z0-9.]+\w)", text)} - THE_READERS_OWN
    assert not [
        name for name in named if not (ROOT / name).exists() and not (ROOT / "scripts/asrmeter" / name).exists()
    ]


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md") if path.name != "index.md"))
def test_a_page_begins_with_what_it_is_for(page: str) -> None:
    title, _, rest = (DOCS / page).read_text(encoding="utf-8").partition("\n\n")
    assert title.startswith("# ")
    assert rest.startswith("After reading this page you can ")


def test_every_page_is_in_the_navigation() -> None:
    config = load_config(str(ROOT / "mkdocs.yml"))
    assert {path.name for path in DOCS.glob("*.md")} <= {*_pages(config.nav)}


def _pages(nav: Any) -> Iterator[str]:
    """Yield the pages of a navigation, of sections too."""
    if isinstance(nav, str):
        yield nav
    else:
        for inner in nav.values() if isinstance(nav, dict) else nav:
            yield from _pages(inner)
