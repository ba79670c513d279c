"""Figures inside of the page: drawings only, which lead nowhere, do nothing, and say nothing outside of their place.

A results folder may be somebody else's. So a figure is parsed, and has nothing but what our own figures are made of.
"""

import re
from xml.etree import ElementTree

from markupsafe import Markup

from asrmeter.common.errors import AsrmeterError, one_line
from asrmeter.common.printable import printable
from asrmeter.report.theme import ACCENT, INK

_SVG, _HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
# A figure of ten thousand cells has less than a tenth of it.
MOST_BYTES = 2_000_000
_DEEPEST = 50
_ELEMENTS = frozenset({"svg", "g", "defs", "clipPath", "pattern", "path", "rect", "use", "text"})
_ATTRIBUTES = frozenset(
    {
        *("width", "height", "viewBox", "version", "id", "d", "x", "y", "transform", "clip-path", "opacity"),
        *("patternUnits", "patternTransform", "fill", "fill-opacity", "fill-rule", "text-anchor"),
        *(f"stroke{part}" for part in ("", "-opacity", "-width", "-linejoin", "-linecap", "-miterlimit")),
        *("stroke-dasharray", "stroke-dashoffset", "font-family", "font-size", "font-style", "font-weight"),
    }
)
# What an attribute refers to is a part of the figure itself.
_OWN = re.compile(r"#[\w.-]+")
_OWN_URL = re.compile(r"url\(#[\w.-]+\)")
# The page's colours, light or dark, instead of those of a figure on its own.
_OF_PAGE = {INK.lower(): "currentColor", ACCENT.lower(): "var(--accent)"}

ElementTree.register_namespace("", _SVG.strip("{}"))
ElementTree.register_namespace("xlink", _HREF.partition("}")[0].strip("{"))


class _Drawing(ElementTree.TreeBuilder):
    """Builds the tree of a figure and refuses foreign elements."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[str] = []

    def doctype(self, name: str, public_id: str | None, system: str | None) -> None:
        """Refuse a document type: it may define what anything means."""
        raise AsrmeterError("has a document type")

    def start(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        """Take an element."""
        name = tag.removeprefix(_SVG)
        if name == tag or name not in _ELEMENTS or (name == "svg") == bool(self._open):
            raise AsrmeterError(f"has an element {printable(name, 60)}")
        if len(self._open) == _DEEPEST:
            raise AsrmeterError(f"has more than {_DEEPEST} elements inside of each other")
        for key, value in attributes.items():
            if not _is_allowed(key, value):
                raise AsrmeterError(f'has {name} {printable(key, 60)}="{printable(value, 60)}"')
        self._open.append(name)
        return super().start(tag, attributes)

    def end(self, tag: str) -> ElementTree.Element:
        """Take the end of an element."""
        self._open.pop()
        return super().end(tag)

    def data(self, data: str) -> None:
        """Take text."""
        if self._open[-1] != "text" and data.strip():
            raise AsrmeterError(f'has the text "{printable(data.strip(), 60)}" where none is drawn')
        super().data(data)


def _is_allowed(key: str, value: str) -> bool:
    if key == _HREF:
        return bool(_OWN.fullmatch(value))
    # A backslash could write any of the signs that are looked for.
    is_plain = "\\" not in value and ("url" not in value.lower() or _OWN_URL.fullmatch(value))
    return key in _ATTRIBUTES and bool(is_plain)


def parse(svg: bytes | str) -> ElementTree.Element:
    """Return the tree of a figure.

    Raises:
        AsrmeterError: it is not an SVG, or has anything that no figure of ours has.
    """
    parser = ElementTree.XMLParser(target=_Drawing())
    try:
        parser.feed(svg)
        root: ElementTree.Element = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise AsrmeterError(f"cannot be read as SVG ({one_line(error)})") from error
    except AsrmeterError as error:
        raise AsrmeterError(f"{error}, which no figure of asrmeter has") from error
    return root


def inline_svg(name: str, svg: str) -> Markup:
    """Return an SVG file for use inside HTML: ids of its own, and the page's colours.

    Raises:
        AsrmeterError: see `parse`.
    """
    root = parse(svg)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == _HREF:
                element.set(key, f"#{name}-{value[1:]}")
            elif colour := _OF_PAGE.get(value.lower()):
                element.set(key, colour)
            else:
                element.set(key, value.replace("url(#", f"url(#{name}-"))
    return Markup(ElementTree.tostring(root, encoding="unicode").replace(" />", "/>") + "\n")
