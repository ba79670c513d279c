"""The environments in envs/: the rules that use each, the packages that these need. `--fix` sets locked versions."""

import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import reach

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "envs").glob("*.yaml"))}
_PIN = re.compile(r"^(\s+- )(?!python )([A-Za-z0-9._-]+)( =|==)(\S+)$", re.MULTILINE)


class Rule(NamedTuple):
    """The environment of a rule, if it has one, and the scripts that its command runs."""

    environment: str | None
    scripts: frozenset[str]


def rules() -> dict[str, Rule]:
    """Return every rule that has a command, by name."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for text in re.split(r"^(?=rule )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            named = re.search(r'conda:\s+"\.\./envs/(\w+)\.yaml"', text)
            scripts = frozenset(re.findall(r"python scripts/(\w+\.py)", text))
            found[text.split(":")[0].removeprefix("rule ")] = Rule(named[1] if named else None, scripts)
    return found


def scripts_of(environment: str) -> frozenset[str]:
    """Return the scripts that the rules of an environment run."""
    return frozenset().union(*(rule.scripts for rule in rules().values() if rule.environment == environment))


def listed(text: str) -> dict[str, str]:
    """Return the packages that pip installs by an environment file: version by package."""
    pins = [Requirement(pin) for pin in yaml.safe_load(text)["dependencies"][-1]["pip"]]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def complaints(text: str, scripts: frozenset[str]) -> list[str]:
    """Return the packages that an environment file lacks for its scripts, and those that it lists in vain."""
    own = set(listed(text))
    said, used = [], set()
    for module, importers in sorted(reach.packages(scripts).items()):
        providers = {canonicalize_name(name) for name in _distributions().get(module, [module])}
        used |= providers
        if not providers & own:
            said.append(f"it lacks {' or '.join(sorted(providers))}: {', '.join(sorted(importers))}")
    return said + [f"nothing of ours imports {name}" for name in sorted(own - used)]


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def locked(root: Path = ROOT, lock: str = "run.lock") -> dict[str, str]:
    """Return version by package of a lock."""
    text = (root / "requirements" / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def pinned(environment: str, versions: dict[str, str]) -> str:
    """Return the text of an environment file with the locked versions."""
    return _PIN.sub(lambda found: f"{found[1]}{found[2]}{found[3]}{versions[found[2]]}", environment)


def main() -> None:
    """Write the locked versions into every environment file."""
    for path in FILES.values():
        path.write_text(pinned(path.read_text(encoding="utf-8"), locked()), encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--fix"]:
    main()
