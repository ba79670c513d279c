"""Files are written as a whole or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import atomic, list_files, write_atomically


def test_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    with pytest.raises(RuntimeError), atomic(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    write_atomically(target, "whole")
    assert target.read_text() == "whole"
    with pytest.raises(RuntimeError), atomic(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]
    assert target.read_text() == "whole"


def test_scratch_of_a_killed_writer_goes_with_the_next_write(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from asrmeter.common.files import atomic\n"
        "with atomic(pathlib.Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        assert writer.stdout and writer.stdout.readline() == b"\n"
        write_atomically(tmp_path / "file", "whole")
        assert len(list(tmp_path.iterdir())) == 2, "the other one still writes"
        writer.kill()
        writer.wait()
        assert len(list(tmp_path.iterdir())) == 2
        write_atomically(tmp_path / "file", "whole")
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("old", "new"):
        with atomic(target) as part:
            part.mkdir()
            (part / name).touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"file: no space left on the disk; free some"), atomic(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"file: may not be written"), atomic(tmp_path / "file"):
        raise OSError(errno.EROFS, "Read-only file system")


def test_a_place_where_no_folder_can_be_made_is_named() -> None:
    with pytest.raises(AsrmeterError, match=r"^/proc/.*file: cannot be made \("):
        write_atomically(Path("/proc/none/file"), "text")


def test_list_files_leaves_out_hidden_files_only(tmp_path: Path) -> None:
    home = tmp_path / "f"
    for name in ("b.txt", "a/x.bin", "a-b", ".hidden", "a/.git/config"):
        write_atomically(home / name, name)
    (home / "a" / "link").symlink_to("x.bin")
    (home / "a" / "up").symlink_to(home)
    (home / "a" / "itself").symlink_to("itself")
    (home / "a" / "nowhere").symlink_to("gone")
    first = list_files(home)
    assert [(name, size) for name, size, _ in first] == [("a-b", 3), ("a/link", 7), ("a/x.bin", 7), ("b.txt", 5)]
    assert first[-1][2] == (home / "b.txt").stat().st_mtime_ns
    os.utime(home / "b.txt", ns=(0, 10**18))
    assert list_files(home) == [*first[:-1], ("b.txt", 5, 10**18)]
    assert list_files(tmp_path / "missing") == []
