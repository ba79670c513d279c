"""The options of variants in docs/variants.md: made of the classes in `runtimes/`. `--fix` writes them."""

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin
from unittest.mock import patch

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.paths import ROOT
from asrmeter.machine.host import Host
from asrmeter.runtimes.base import RuntimeOptions
from asrmeter.runtimes.own_file import PythonFile

PATH = ROOT / "docs" / "variants.md"
BEGIN, END = "<!-- The following is made of the code: make schema. -->\n", "<!-- End of what is made of the code. -->\n"
FAMILIES = {"whisper": "Whisper", "ctc": "CTC"}
DEVICES = {"cpu": "CPU", "cuda": "CUDA"}
Places = frozenset[tuple[str, str]]


def text() -> str:
    """Return what the file must hold: what it holds, with the options as the code has them."""
    before, _, rest = PATH.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{''.join(_sections())}{END}{rest.partition(END)[2]}"


def _sections() -> Iterator[str]:
    """Yield a section for each runtime, the baseline first."""
    known = runtimes.options()
    for name in sorted(known, key=lambda name: (name == runtimes.OWN_FILE, name != runtimes.DEFAULT_RUNTIME)):
        kind = known[name]
        said = kind.__pydantic_config__["json_schema_extra"]["description"]  # type: ignore[attr-defined]
        if name == runtimes.OWN_FILE:
            keys = _table(PythonFile, frozenset())
            yield f"### A file of your own\n\n{said} Its keys are under `runtime`.\n\n{keys}\n"
        else:
            places = _places(kind())
            needs = " Needs `make runtimes`." if kind().needs else ""
            yield f"### {name}\n\n{said} Models: {_shown(places)}.{needs}\n\n{_table(kind, places)}\n"


def _table(kind: type[Any], usual: Places) -> str:
    lines = [_line(kind, field, usual) for field in dataclasses.fields(kind) if field.name != "runtime"]
    return (
        "\n".join(["| option | values | default | what it does | only for |", "|---|---|---|---|---|", *lines]) + "\n"
    )


def _line(kind: type[Any], field: dataclasses.Field[Any], usual: Places) -> str:
    values = _values(field)
    limits: dict[str, list[Any]] = {}
    for value in values if usual else ():
        options = _with(kind, field.name, value)
        places = "" if (own := _places(options)) == usual else _shown(own)
        packages = "" if options.needs == kind().needs else f"with {_and(_code([name]) for name in options.needs)}"
        limits.setdefault(" ".join(filter(None, (places, packages))), []).append(value)
    only = "; ".join(f"{_code(own)}: {limit}" for limit, own in limits.items() if limit)
    told = field.metadata["description"]
    return f"| `{field.name}` | {_code(values) or _range(field)} | {_default(field)} | {told} | {only} |"


def _values(field: dataclasses.Field[Any]) -> list[Any]:
    """Return the values of an option that has a list of them."""
    if get_origin(field.type) is Literal:
        return list(get_args(field.type))
    return [False, True] if field.type is bool else []


def _range(field: dataclasses.Field[Any]) -> str:
    least, most = field.metadata.get("ge"), field.metadata.get("le")
    if least is not None:
        return f"{least} to {most}"
    return "keys and values" if get_origin(field.type) is Mapping else "text"


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return _code(["null" if field.default is None else field.default])
    if field.default_factory is dataclasses.MISSING:
        return "it has to be given"
    return "none" if field.default_factory is dict else "follows"


def _with(kind: type[RuntimeOptions], name: str, value: Any) -> RuntimeOptions:
    """Return options with a value, and with what the value asks of others."""
    made = kind(**{name: value})
    try:
        made.check()
    except AsrmeterError:
        made = kind(**{name: value, "dtype": "float16"})
        made.check()
    return made


def _places(options: RuntimeOptions) -> Places:
    """Return for which families and devices options can be measured on a machine that has everything."""
    host = Host(compute_capability=(12, 0))
    with patch.dict(os.environ, CC="sh", CXX="sh"):  # a compiler that is there
        return frozenset((f, d) for f in FAMILIES for d in DEVICES if options.why_not(f, d, host) is None)


def _shown(places: Places) -> str:
    """Return families and devices in words; every family has the same devices, or is named with its own."""
    devices = {family: tuple(device for device in DEVICES if (family, device) in places) for family in FAMILIES}
    groups: dict[tuple[str, ...], list[str]] = {}
    for family, own in devices.items():
        if own:
            groups.setdefault(own, []).append(FAMILIES[family])
    return "; ".join(f"{_and(names)} on {_and(DEVICES[one] for one in own)}" for own, names in groups.items())


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)


def _code(values: Iterable[Any]) -> str:
    return ", ".join(f"`{str(value).lower() if isinstance(value, bool) else value}`" for value in values)


if __name__ == "__main__" and sys.argv[1:] == ["--fix"]:
    PATH.write_text(text(), encoding="utf-8")
