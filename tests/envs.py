"""The versions in envs/ are those of requirements/run.lock. `python tests/envs.py --fix` writes them there."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PIN = re.compile(r"^(\s+- )([A-Za-z0-9._-]+)==(\S+)$", re.MULTILINE)


def locked(root: Path = ROOT) -> dict[str, str]:
    """Return version by package of the lock."""
    text = (root / "requirements" / "run.lock").read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def pinned(environment: str, versions: dict[str, str]) -> str:
    """Return an environment file's text with the locked versions."""
    return _PIN.sub(lambda found: f"{found[1]}{found[2]}=={versions[found[2]]}", environment)


def main() -> None:
    """Write the locked versions into every environment file."""
    for path in sorted((ROOT / "envs").glob("*.yaml")):
        path.write_text(pinned(path.read_text(), locked()))


if __name__ == "__main__" and sys.argv[1:] == ["--fix"]:
    main()
