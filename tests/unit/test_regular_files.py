"""What somebody else names is a regular file of a bounded size below its own folder."""

import os
from pathlib import Path

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.regular_files import below, read_regular


def refused(function, *arguments: object) -> str:
    with pytest.raises(AsrmeterError) as caught:
        function(*arguments)
    return str(caught.value)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    assert read_regular(file) == b"content"
    os.mkfifo(tmp_path / "pipe")
    assert refused(read_regular, tmp_path / "pipe").endswith("pipe: is a pipe, not a file")
    assert refused(read_regular, tmp_path).endswith(": is a folder, not a file")
    assert refused(read_regular, Path("/dev/zero")) == "/dev/zero: is a device, not a file"


def test_a_file_has_a_bounded_size(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with open(file, "wb") as stream:
        stream.truncate(2 * 10**9)
    assert refused(read_regular, file, 5 * 10**6).endswith("has 2,000 MB, more than the 5 MB allowed for such a file")


def test_names_lead_below_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "audio").mkdir(parents=True)
    (tmp_path / "private").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "private")
    (folder / "inside").symlink_to("audio/a")
    (folder / "elsewhere").symlink_to(tmp_path)
    assert below(folder, "audio/a") == folder / "audio/a"
    assert below(folder, "inside") == folder / "inside"
    for name in (
        "",
        "/etc/passwd",
        "../private",
        "audio/../../private",
        "audio//a",
        "link",
        "elsewhere/private",
        "a\0",
    ):
        assert "leads out of this folder" in refused(below, folder, name)
