"""Files are written as a whole or not at all."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asrmeter.common import files
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
    with pytest.raises(AsrmeterError, match=r"file: cannot be written"), atomic(tmp_path / "file"):
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


_NUMBERS = sorted({*errno.errorcode} - {errno.EAGAIN})  # that one is a BlockingIOError, and has no file


@pytest.mark.parametrize("number", _NUMBERS, ids=errno.errorcode.get)
def test_whatever_the_system_says_is_one_line_with_the_file(tmp_path: Path, number: int) -> None:
    for place in (None, str(tmp_path), str(tmp_path / ".file.x" / "file"), "/elsewhere/in.wav", 3, os.fsencode("/b")):
        with pytest.raises(AsrmeterError) as caught, atomic(tmp_path / "file"):
            raise OSError(number, os.strerror(number), place)
        said = str(caught.value)
        assert said.startswith(f"{tmp_path / 'file'}: ") and "\n" not in said
        no_room = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if place in ("/elsewhere/in.wav", b"/b") and not no_room:
            assert said.endswith(f"cannot be made from {os.fsdecode(place)} ({os.strerror(number)})")
        else:
            assert " from /" not in said
        if not no_room:
            assert os.strerror(number) in said
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_a_library_without_a_number_is_one_line(tmp_path: Path) -> None:
    said = r"file: cannot be written \(no answer from there\); check the disk"
    with pytest.raises(AsrmeterError, match=said), atomic(tmp_path / "file"):
        raise OSError("no answer\n from there")


def _within(limit: int, code: str, *arguments: str) -> str:
    """Run Python in a process whose files may not be larger than `limit` bytes; return the error that it tells."""
    head = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "from pathlib import Path\nfrom asrmeter.common import errors, files\n"
    )
    command = [
        sys.executable,
        "-c",
        f"{head}try: {code}\nexcept errors.AsrmeterError as error: print(error)",
        *arguments,
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, check=True, encoding="utf-8").stdout


@pytest.mark.parametrize(
    "code",
    [
        "files.check_room(Path(sys.argv[1]))",
        "files.write_atomically(Path(sys.argv[1]), bytes(30_000))",
        "files.write_atomically(Path(sys.argv[1]), 'ü' * 15_000)",
    ],
)
def test_a_limit_on_sizes_of_files_is_one_line(tmp_path: Path, code: str) -> None:
    said = _within(20_000, code, str(tmp_path / "file"))
    assert said.startswith(f"{tmp_path / 'file'}: exceeds the limit for file sizes; raise it (ulimit -f")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("circle/file", "remove the other file in its place"),
        ("nowhere/file", "cannot be made"),
        ("text/file", "remove the other file in its place"),
        (f"{'n' * 300}/file", "shorten its name"),
        ("n" * 300, "shorten its name"),
    ],
)
def test_a_way_that_leads_nowhere_is_named(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "nowhere").symlink_to("/proc/none")
    (tmp_path / "text").touch()
    for write in (files.check_room, lambda target: write_atomically(target, "text")):
        with pytest.raises(AsrmeterError, match=said) as caught:
            write(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "is a pipe, not a file; delete {} and run again"),
        (os.mkdir, "is a folder, not a file; delete {} and run again"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2 * 10**12), "has 2,000,000 MB"),
        (lambda path: os.symlink("/dev/zero", path), "is a device, not a file; delete {} and run again"),
        (lambda path: os.symlink("gone", path), "cannot be read ("),
        (lambda path: Path(path).write_bytes(b"[" * 100_000), "cannot be read ("),
        (lambda path: Path(path).write_bytes(b'"\xff"'), "cannot be read ("),
    ],
)
def test_what_is_no_json_file_is_told_at_once(tmp_path: Path, make: Callable[[Path], object], said: str) -> None:
    make(tmp_path / "a.json")
    with pytest.raises(AsrmeterError) as caught:
        files.read_json(tmp_path / "a.json")
    assert str(caught.value).startswith(f"{tmp_path / 'a.json'}: {said.format(tmp_path)}")
    assert str(caught.value).endswith(f"; delete {tmp_path} and run again")
