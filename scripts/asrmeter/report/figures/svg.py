"""Figures as SVG that is small, and that a page with a strict content security policy shows as it is.

Matplotlib writes styles, which such a policy ignores inside a page; here they become attributes.
"""

import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
HREF = f"{{{XLINK}}}href"
GROUP, DEFS, STYLE, METADATA, TEXT = (f"{{{SVG}}}{name}" for name in ("g", "defs", "style", "metadata", "text"))
# What matplotlib's style block says of every element; a descendant's own attribute goes before.
OF_ALL = {"stroke-linejoin": "round", "stroke-linecap": "butt"}
FONT = re.compile(r"(?:(?P<style>italic|oblique) )?(?:(?P<weight>\d+|bold) )?(?P<size>[\d.]+px) (?P<family>.+)")
NUMBER = re.compile(r"-?\d+\.\d+")
REFERENCE = re.compile(r"#([\w.-]+)(?=$|\))")
ROUNDED = ("d", "x", "y", "width", "height", "transform")
# The figure's own group keeps its name, though nothing refers to it.
NAMED = "figure_1"

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def svg_of(figure: Figure) -> str:
    """Return a figure as SVG without style elements and style attributes, its coordinates to a tenth of 1/72 in."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(stream.getvalue())
    for element in root.iter():
        _shorten(element)
    root.attrib |= OF_ALL
    _share(root, "font-family")
    names = _short_names(root)
    _prune(root, {*names.values(), NAMED})
    return ElementTree.tostring(root, encoding="unicode").replace(" />", "/>") + "\n"


def attributes_of(style: str) -> dict[str, str]:
    """Return the presentation attributes that say what a style says."""
    found: dict[str, str] = {}
    for declaration in filter(None, map(str.strip, style.split(";"))):
        name, value = (part.strip() for part in declaration.split(":", 1))
        if name == "font" and (font := FONT.fullmatch(value)):
            found |= {f"font-{part}": said for part, said in font.groupdict().items() if said}
        else:
            found[name] = value
    return found


def _shorten(element: ElementTree.Element) -> None:
    """Turn the style of an element into attributes, and round its coordinates."""
    element.attrib |= attributes_of(element.attrib.pop("style", ""))
    if re.fullmatch(r"rotate\(-?0 .*\)", element.get("transform", "")):
        del element.attrib["transform"]
    for name in ROUNDED:
        if name in element.attrib:
            value = NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), element.attrib[name])
            element.set(name, " ".join(value.split()))


def _share(root: ElementTree.Element, name: str) -> None:
    """Say the commonest value of an inherited attribute once, at the root."""
    values = [element.attrib[name] for element in root.iter() if name in element.attrib]
    if not values:
        return
    commonest = max(sorted(set(values)), key=values.count)
    for element in root.iter():
        if element.get(name) == commonest:
            del element.attrib[name]
    root.set(name, commonest)


def _short_names(root: ElementTree.Element) -> dict[str, str]:
    """Rename what is referred to, and return the new names by the old ones: markers are named for each point."""
    there = {element.get("id") for element in root.iter()}
    said = [name for element in root.iter() for value in element.attrib.values() for name in REFERENCE.findall(value)]
    # A colour looks like a reference, but names nothing.
    names = {name: f"r{place}" for place, name in enumerate(dict.fromkeys(name for name in said if name in there))}
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, REFERENCE.sub(lambda found: f"#{names.get(found[1], found[1])}", value))
        if (name := element.get("id")) in names:
            element.set("id", names[name])
    return names


def _prune(parent: ElementTree.Element, used: set[str]) -> None:
    """Drop metadata, styles, names that nothing refers to, white space, and groups that say nothing."""
    kept: list[ElementTree.Element] = []
    parent.text = None
    for child in parent:
        if child.get("id") not in used:
            child.attrib.pop("id", None)
        child.tail = None
        if child.tag in (STYLE, METADATA):
            continue
        if child.tag != TEXT:
            _prune(child, used)
            _hoist(child)
        if child.tag in (GROUP, DEFS) and not len(child):
            continue
        kept += list(child) if child.tag == GROUP and not child.attrib else [child]
    parent[:] = kept


def _hoist(group: ElementTree.Element) -> None:
    """Move to a group what its elements, markers of one line, have in common: paint, which is inherited."""
    if group.tag != GROUP or len(group) < 2 or any(HREF not in child.attrib for child in group):
        return
    first, *others = (child.attrib for child in group)
    shared = {
        name: value
        for name, value in first.items()
        if name.startswith(("fill", "stroke")) and all(other.get(name) == value for other in others)
    }
    for child in group:
        for name in shared:
            del child.attrib[name]
    group.attrib |= {name: value for name, value in shared.items() if name not in group.attrib}
