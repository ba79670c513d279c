"""Pinned archives: only the pinned bytes are ever read."""

import io
import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.sources import packages
from asrmeter.sources.packages import Archives, Package


@pytest.fixture
def downloads(tmp_path: Path) -> tuple[Path, dict[str, Package]]:
    with zipfile.ZipFile(tmp_path / "w-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("w/data.bin", b"wheel")
    with tarfile.open(tmp_path / "s-1.tar.gz", "w:gz") as sdist:
        entry = tarfile.TarInfo("s-1/data.bin")
        entry.size = 5
        sdist.addfile(entry, io.BytesIO(b"sdist"))
    known = {
        path.name[0]: Package(path.name[0], "1", path.name, sha256(path.read_bytes()).hexdigest())
        for path in tmp_path.iterdir()
    }
    return tmp_path, known


def test_members_of_wheels_and_sdists_are_read(downloads: tuple[Path, dict[str, Package]]) -> None:
    archives = Archives(*downloads)
    assert archives.read("w", "w/data.bin") == b"wheel"
    assert archives.read("s", "data.bin") == b"sdist"


def test_altered_missing_and_empty_archives_are_named(downloads: tuple[Path, dict[str, Package]]) -> None:
    folder, known = downloads
    with pytest.raises(AsrmeterError, match="has no member w/other"):
        Archives(folder, known).read("w", "w/other")
    with pytest.raises(AsrmeterError, match="has no member other"):
        Archives(folder, known).read("s", "other")
    path = folder / known["w"].archive
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(AsrmeterError, match=r"w-1-py3-none-any\.whl: sha256 is .* expected .*; delete the file"):
        Archives(folder, known).read("w", "w/data.bin")
    path.unlink()
    with pytest.raises(AsrmeterError, match="is missing; run the rule `download`"):
        Archives(folder, known).read("w", "w/data.bin")


def test_package_that_cannot_be_fetched_names_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wanted = Package("no-such-package", "1", "no_such_package-1.tar.gz", "0" * 64)
    with pytest.raises(
        AsrmeterError, match=r"no-such-package 1 could not be downloaded by pip \(ERROR: .*\); check the network"
    ):
        packages.fetch(wanted, tmp_path / "x" / wanted.archive)
    assert not (tmp_path / "x" / wanted.archive).exists()


def test_the_password_of_an_index_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # pip hides it in the addresses that it knows; a stand-in says what a plugin or a proxy of its may say.
    said = "ERROR: 403 from http://user:PASSWORDatk@127.0.0.1:9/simple/x?token=PASSWORDatk caf\udce9"
    pip = tmp_path / "python"
    pip.write_bytes(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n".encode("utf-8", "surrogateescape"))
    pip.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(pip))
    with pytest.raises(AsrmeterError) as caught:
        packages.fetch(Package("no-such-package", "1", "no_such_package-1.tar.gz", "0" * 64), tmp_path / "x")
    assert "(ERROR: 403 from http://***@127.0.0.1:9/simple/x caf\N{REPLACEMENT CHARACTER})" in str(caught.value)


def test_pip_gets_the_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def watch(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        seen.append([*command, Path(command[command.index("--requirement") + 1]).read_text()])
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no")

    monkeypatch.setattr(subprocess, "run", watch)
    for package in packages.catalogue().values():
        with pytest.raises(AsrmeterError):
            packages.fetch(package, tmp_path / "x")
        assert "--require-hashes" in seen[-1] and "--no-deps" in seen[-1]
        assert seen[-1][-1] == f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n"
