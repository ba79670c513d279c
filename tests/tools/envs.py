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

from asrmeter import runtimes
from asrmeter.runtimes.base import DEFAULT_ENVIRONMENT
from tools import reach

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "envs").glob("*.yaml"))}
_PIN = re.compile(r"^(\s+- )(?!python )([A-Za-z0-9._-]+)( =|==)(\S+)$", re.MULTILINE)


class Rule(NamedTuple):
    """The environments of a rule, none if it has none, and the scripts that its command runs.

    The environment of a rule that runs a variant is that of the variant.
    """

    environments: frozenset[str]
    scripts: frozenset[str]


# What everybody has, and what optional runtimes need on top.
LOCKS = ("run.lock", "runtimes.lock")
# What each environment of runtimes has beside the usual one, as Python imports it.
OF_RUNTIMES = {
    name: frozenset(packages)
    for options in runtimes.options().values()
    for name, packages in options.environments.items()
}
# What a package of ours imports and does not say that it needs: onnxruntime-genai.
UNTOLD = frozenset({"onnx-ir"})
OF_VARIANTS = frozenset({DEFAULT_ENVIRONMENT, *OF_RUNTIMES})


def rules() -> dict[str, Rule]:
    """Return every rule that has a command, by name."""
    found = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for text in re.split(r"^(?=rule )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            named = re.search(r'conda:\s+"\.\./envs/([\w-]+)\.yaml"', text)
            by_variant = re.search(r"conda:\s+environment_of\w*$", text, re.MULTILINE)
            own = frozenset({named[1]}) if named else OF_VARIANTS if by_variant else frozenset()
            scripts = frozenset(re.findall(r"python scripts/(\w+\.py)", text))
            found[text.split(":")[0].removeprefix("rule ")] = Rule(own, scripts)
    return found


def scripts_of(environment: str) -> frozenset[str]:
    """Return the scripts that the rules of an environment run."""
    return frozenset().union(*(rule.scripts for rule in rules().values() if environment in rule.environments))


def listed(text: str) -> dict[str, str]:
    """Return the packages that pip installs by an environment file: version by package."""
    pins = [Requirement(pin) for pin in yaml.safe_load(text)["dependencies"][-1]["pip"]]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def complaints(text: str, scripts: frozenset[str], name: str = DEFAULT_ENVIRONMENT) -> list[str]:
    """Return the packages that the environment `name` lacks for its scripts, and those that it lists in vain.

    What only variants of other environments import is not lacked.
    """
    own = set(listed(text))
    said, used = [], set()
    for module, importers in sorted(imports(scripts, name).items()):
        providers = {canonicalize_name(package) for package in _distributions().get(module, [module])}
        used |= providers
        if not providers & own:
            said.append(f"it lacks {' or '.join(sorted(providers))}: {', '.join(sorted(importers))}")
    return said + [f"nothing of ours imports {name}" for name in sorted(own - used - UNTOLD)]


def imports(scripts: frozenset[str], name: str) -> dict[str, set[str]]:
    """Return what scripts can import in the environment `name`, without what variants of other environments do."""
    others = frozenset().union(*OF_RUNTIMES.values()) - OF_RUNTIMES.get(name, frozenset())
    found = reach.packages(scripts, _not_in(name))
    return {module: importers for module, importers in found.items() if module not in others}


def _not_in(name: str) -> frozenset[str]:
    """Return the modules of runtimes whose variants never run in an environment."""
    known = runtimes.options().items()
    return frozenset(
        module
        for module, options in known
        if name not in {*(options.environments or {DEFAULT_ENVIRONMENT: ()}), *_usual(module)}
    )


def _usual(module: str) -> tuple[str, ...]:
    """Return the usual environment for the baseline's runtime, whose plain variants need no other."""
    return (DEFAULT_ENVIRONMENT,) if module == runtimes.DEFAULT_RUNTIME else ()


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def locked(root: Path = ROOT, *locks: str) -> dict[str, str]:
    """Return version by package of locks: of those that environments follow, or of others by name."""
    texts = [(root / "requirements" / lock).read_text(encoding="utf-8") for lock in locks or LOCKS]
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", "\n".join(texts), re.MULTILINE))


def pinned(environment: str, versions: dict[str, str]) -> str:
    """Return the text of an environment file with the locked versions."""
    return _PIN.sub(lambda found: f"{found[1]}{found[2]}{found[3]}{versions[found[2]]}", environment)


def main() -> None:
    """Write the locked versions into every environment file."""
    for path in FILES.values():
        path.write_text(pinned(path.read_text(encoding="utf-8"), locked()), encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--fix"]:
    main()
