"""A Hugging Face Hub on 127.0.0.1 with the part of the HTTP interface that huggingface_hub and datasets read.

The clients are the real ones, in a process of their own with `Hub.environment`:

    files = {"README.md": b"...", "data/test.parquet": Path("...")}
    with Hub([Repo("owner/speech", {"c" * 40: files}, kind="dataset")]) as hub:
        subprocess.run([sys.executable, "script.py"], env=hub.environment(tmp_path / "home"))
    assert hub.sent("*.parquet") < 1000

Where the real Hub redirects to other hosts for large files (a CDN, Xet), this one sends the bytes itself.
"""

import hashlib
import io
import json
import math
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote

Content = bytes | Path
Kind = Literal["model", "dataset"]

FOREVER = math.inf

_API = re.compile(r"/api/(model|dataset)s/([^/]+/[^/]+)(?:/(auth-check|(?:revision|tree|paths-info)/[^/]+)(?:/(.+))?)?")
_RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_LFS_SUFFIXES = {".arrow", ".bin", ".onnx", ".parquet", ".pt", ".safetensors", ".tar", ".wav", ".zip"}
_LFS_BYTES = 10_000_000  # a larger file of any name is in LFS too
_CHUNK_BYTES = 1 << 16
_DATE = "2024-01-01T00:00:00.000Z"


@dataclass
class Repo:
    """A repository: the files of each commit. Without `refs`, main is the last commit.

    `info` has other fields of the Hub's answer, by the names of its API: tags, cardData, lastModified, ...
    """

    id: str
    commits: dict[str, dict[str, Content]]
    kind: Kind = "model"
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.refs = self.refs or {"main": list(self.commits)[-1]}


@dataclass
class Request:
    """A request and its answer; `sent` counts bytes of the body."""

    method: str
    path: str
    range: str | None
    token: str | None
    status: int = 0
    sent: int = 0


@dataclass
class _Fault:
    """A fault in the next `times` answers for matching paths."""

    pattern: str
    times: float
    status: int | None = None
    cut_after: int | None = None
    reset: bool = False
    corrupt: bool = False


class Hub:
    """The server, running inside `with`. `tokens` are valid; True if the account may read gated repositories.

    `fail`, `cut` and `corrupt` take a pattern for the path of a URL, in which a star matches slashes too
    ("*/model.safetensors"). If several match, the first one applies until it is used up.
    """

    def __init__(self, repos: Iterable[Repo] = (), tokens: dict[str, bool] | None = None) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.tokens = tokens or {}
        self.requests: list[Request] = []
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        for repo in repos:
            self.add(repo)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self._server.stop()
        if self._server.errors and error is None:
            raise self._server.errors[0]

    def add(self, repo: Repo) -> None:
        """Publish a repository; it replaces one with the same name."""
        self.repos[repo.kind, repo.id] = repo

    def fail(self, pattern: str = "*", *, status: int = 503, times: float = FOREVER) -> None:
        """Answer with this status; `fail()` means that the Hub is down."""
        self._faults.append(_Fault(pattern, times, status=status))

    def cut(self, pattern: str, *, after: int, times: float = 1, reset: bool = False) -> None:
        """Close the connection after so many bytes of a longer body; with `reset`, as if the machine crashed."""
        self._faults.append(_Fault(pattern, times, cut_after=after, reset=reset))

    def corrupt(self, pattern: str, *, times: float = FOREVER) -> None:
        """Change the byte in the middle of the file: its length and the announced hash stay."""
        self._faults.append(_Fault(pattern, times, corrupt=True))

    def mend(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def asked(self, pattern: str = "*") -> list[Request]:
        """Return the requests so far for matching paths."""
        return [request for request in self.requests if fnmatchcase(request.path, pattern)]

    def sent(self, pattern: str = "*") -> int:
        """Return the number of bytes sent for them."""
        return sum(request.sent for request in self.asked(pattern))

    def environment(self, home: Path, *, token: str | None = None, offline: bool = False) -> dict[str, str]:
        """Return the environment of a client that knows this Hub, token and cache only, and no proxy."""
        foreign = re.compile(r"HF_|HUGGING|(ALL|HTTPS?)_PROXY$", re.IGNORECASE)
        return {
            **{name: value for name, value in os.environ.items() if not foreign.match(name)},
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # or datasets would ask a host on the internet
            **({"HF_TOKEN": token} if token else {}),
            **({"HF_HUB_OFFLINE": "1"} if offline else {}),
        }

    def take_fault(self, path: str, due: Callable[[_Fault], bool]) -> _Fault | None:
        """Return the fault for the next answer for this path, and count it as used."""
        with self._lock:
            for fault in self._faults:
                if fault.times > 0 and due(fault) and fnmatchcase(path, fault.pattern):
                    fault.times -= 1
                    return fault
        return None


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        # A Hub that is down sends its status only.
        explained = {"X-Error-Message": message} if status < 500 else {}
        self.answer = _json({"error": message}, status, explained | ({"X-Error-Code": code} if code else {}) | headers)


@dataclass
class _Answer:
    """Bytes `start` to `stop` of the content are the body."""

    status: int
    headers: dict[str, str]
    content: Content
    start: int
    stop: int


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60  # of an idle connection
    server: "_Server"

    def do_GET(self) -> None:
        hub, (path, _, query) = self.server.hub, self.path.partition("?")
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        self.record = Request(self.command, unquote(path), self.headers.get("Range"), token if scheme else None)
        hub.requests.append(self.record)
        form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        try:
            fault = hub.take_fault(self.record.path, lambda fault: fault.status is not None)
            if fault and fault.status:
                raise _Refused(fault.status, HTTPStatus(fault.status).phrase)
            answer = self._answer(path, parse_qs(form or query))
        except _Refused as refused:
            answer = refused.answer
        self._send(answer)

    do_HEAD = do_POST = do_GET

    def _answer(self, path: str, options: dict[str, list[str]]) -> _Answer:
        if match := _RESOLVE.fullmatch(path):
            repo = self._repo("dataset" if match[1] else "model", match[2], for_files=True)
            return self._file(repo, unquote(match[3]), unquote(match[4]))
        if not (match := _API.fullmatch(path)):
            raise _Refused(404, "Sorry, we can't find the page you are looking for.")
        action, _, revision = (match[3] or "revision/main").partition("/")
        repo = self._repo(match[1], match[2], for_files=action == "auth-check")
        if action == "auth-check":
            return _json("OK")
        commit, files = _commit(repo, unquote(revision))
        if action == "revision":
            return _json(_info(repo, commit, files, blobs=_is_set(options, "blobs")))
        entries = _entries(commit, files, expand=_is_set(options, "expand"))
        if action == "paths-info":
            return _json([entries[path] for path in options.get("paths", []) if path in entries])
        return _json(_tree(entries, unquote(match[4] or ""), revision, recursive=_is_set(options, "recursive")))

    def _repo(self, kind: str, repo_id: str, *, for_files: bool) -> Repo:
        """Return the repository if the token may see it: everyone may list a gated repository, but not read it."""
        hub, token = self.server.hub, self.record.token
        repo = hub.repos.get((kind, repo_id))
        if repo and repo.gated and for_files and not hub.tokens.get(token or ""):
            restricted = f"Access to {kind} {repo_id} is restricted"
            if token in hub.tokens:
                page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
                message = f"{restricted} and you are not in the authorized list. Visit {page} to ask for access."
                raise _Refused(403, message, "GatedRepo")
            # As on the real Hub, an invalid token gets the same answer as no token.
            message = f"{restricted}. You must have access to it and be authenticated to access it. Please log in."
            raise _Refused(401, message, "GatedRepo")
        if token is not None and token not in hub.tokens:
            raise _Refused(401, "Invalid credentials in Authorization header")
        if repo is None and token is None:
            # The real Hub sends no code here; huggingface_hub guesses it, but for https addresses only.
            raise _Refused(401, "Invalid username or password.", "RepoNotFound")
        if repo is None:
            raise _Refused(404, "Repository not found", "RepoNotFound")
        return repo

    def _file(self, repo: Repo, revision: str, path: str) -> _Answer:
        commit, files = _commit(repo, revision)
        if path not in files:
            raise _Refused(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit})
        blob = _blob(files[path], PurePosixPath(path).suffix)
        headers = {"ETag": f'"{blob.sha256 or blob.oid}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        headers["Content-Type"] = "application/octet-stream"
        if blob.sha256:
            headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
        asked = _RANGE.fullmatch(self.record.range or "")
        if asked is None or self.command != "GET":
            return _Answer(200, headers, files[path], 0, blob.size)
        if asked[1]:
            start, stop = int(asked[1]), min(int(asked[2] or blob.size) + 1, blob.size)
        else:
            start, stop = max(0, blob.size - int(asked[2] or 0)), blob.size
        if start >= stop:
            raise _Refused(416, "Range Not Satisfiable", **{"Content-Range": f"bytes */{blob.size}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
        return _Answer(206, headers, files[path], start, stop)

    def _send(self, answer: _Answer) -> None:
        n_bytes = answer.stop - answer.start
        self.record.status = answer.status
        self.send_response_only(answer.status)
        for name, value in (answer.headers | {"Content-Length": str(n_bytes)}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        fault = self.server.hub.take_fault(
            self.record.path, lambda fault: fault.status is None and n_bytes > (fault.cut_after or 0)
        )
        left = n_bytes if fault is None or fault.cut_after is None else fault.cut_after
        with _opened(answer.content) as file:
            file.seek(0, io.SEEK_END)
            middle = file.tell() // 2 if fault and fault.corrupt else -1
            at = file.seek(answer.start)
            while left and (chunk := bytearray(file.read(min(left, _CHUNK_BYTES)))):
                if at <= middle < at + len(chunk):
                    chunk[middle - at] ^= 0xFF
                at, left = at + len(chunk), left - len(chunk)
                # Counted first, so that a client that has received everything finds it counted.
                self.record.sent += len(chunk)
                self.wfile.write(chunk)
        self.close_connection |= self.record.sent < n_bytes
        if fault and fault.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub
        self.errors: list[BaseException] = []
        self._connections: set[socket.socket] = set()

    def stop(self) -> None:
        """Stop, and close open connections."""
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: object) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):  # a client may leave
            self.errors.append(error)


@dataclass(frozen=True)
class _Blob:
    """A file in git; in LFS, `oid` is that of the pointer to the file with this SHA-256."""

    size: int
    oid: str
    sha256: str | None = None
    pointer: bytes = b""


@lru_cache(maxsize=1000)
def _blob(content: Content, suffix: str) -> _Blob:
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    if suffix not in _LFS_SUFFIXES and size <= _LFS_BYTES:
        with _opened(content) as file:
            return _Blob(size, hashlib.file_digest(file, lambda: hashlib.sha1(b"blob %d\0" % size)).hexdigest())
    with _opened(content) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return _Blob(size, _blob(pointer, "").oid, sha256, pointer)


def _opened(content: Content) -> io.BufferedIOBase:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)


def _commit(repo: Repo, revision: str) -> tuple[str, dict[str, Content]]:
    commit = repo.refs.get(revision, revision)
    if commit not in repo.commits:
        raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit, repo.commits[commit]


def _info(repo: Repo, commit: str, files: dict[str, Content], *, blobs: bool) -> dict[str, Any]:
    siblings: list[dict[str, Any]] = []
    for path, entry in _entries(commit, files).items():
        if entry["type"] == "file":
            lfs = {"sha256": entry["lfs"]["oid"], **entry["lfs"]} if "lfs" in entry else None
            details = {"size": entry["size"], "blobId": entry["oid"], "lfs": lfs} if blobs else {}
            siblings.append({"rfilename": path, **details})
    return {
        "id": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": commit,
        "createdAt": _DATE,
        "lastModified": _DATE,
        "private": False,
        "gated": "auto" if repo.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": siblings,
        **repo.info,
    }


def _entries(commit: str, files: dict[str, Content], *, expand: bool = False) -> dict[str, dict[str, Any]]:
    """Return the tree's entry of each folder and file."""
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents} - {"."}
    entries: dict[str, dict[str, Any]] = {
        path: {"type": "directory", "oid": _blob(path.encode(), "").oid, "size": 0, "path": path} for path in folders
    }
    for path, content in files.items():
        blob = _blob(content, PurePosixPath(path).suffix)
        lfs = {"oid": blob.sha256, "size": blob.size, "pointerSize": len(blob.pointer)}
        entries[path] = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
        entries[path] |= {"lfs": lfs} if blob.sha256 else {}
    if expand:
        for entry in entries.values():
            entry["lastCommit"] = {"id": commit, "title": "Upload", "date": _DATE}
    return dict(sorted(entries.items()))


def _tree(entries: dict[str, dict[str, Any]], folder: str, revision: str, *, recursive: bool) -> list[dict[str, Any]]:
    if folder and entries.get(folder, {}).get("type") != "directory":
        raise _Refused(404, f"{folder} does not exist on {revision}", "EntryNotFound")
    inside = {path[len(folder) :].lstrip("/"): entry for path, entry in entries.items() if _is_in(path, folder)}
    return [entry for path, entry in inside.items() if recursive or "/" not in path]


def _is_in(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")


def _is_set(options: dict[str, list[str]], name: str) -> bool:
    return options.get(name, ["false"])[0].lower() in ("true", "1")


def _json(data: object, status: int = 200, headers: dict[str, str] | None = None) -> _Answer:
    body = json.dumps(data).encode()
    return _Answer(status, {"Content-Type": "application/json; charset=utf-8"} | (headers or {}), body, 0, len(body))
