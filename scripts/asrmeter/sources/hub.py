"""The Hugging Face Hub: pinned files into its own cache, checked; whatever goes wrong in one line that says what to do.

The token is the clients' business (HF_TOKEN, or `hf auth login`): it is read there and never shown. HF_HOME,
HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean to every client; what is cached already is not fetched again.
"""

import contextlib
import errno
import hashlib
import io
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors
from tqdm import tqdm

from asrmeter.common import log_progress
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of, write_atomically

# Their lines name the addresses of files, which may be signed, and what was tried; errors are raised all the same.
for _library in ("httpx", "httpx2", "huggingface_hub"):
    logging.getLogger(_library).setLevel(logging.ERROR)

COMMIT = re.compile(r"[0-9a-f]{40}")


def commit_of(kind: str, repo: str, revision: str, memory: Path) -> str:
    """Return the commit that a branch or tag stands for now; a commit stands for itself, and nobody is asked.

    `kind` is "model" or "dataset". What the Hub says is noted in the file `memory`, and taken from there while the Hub
    cannot be reached.

    Raises:
        AsrmeterError: the Hub does not know it, or cannot be reached and was never asked before.
    """
    if COMMIT.fullmatch(revision):
        return revision
    try:
        with explained(kind, repo, revision):
            commit = huggingface_hub.HfApi().repo_info(repo, repo_type=kind, revision=revision).sha
    except Unreachable:
        commit = memory.read_text().strip() if memory.is_file() else ""
        if not COMMIT.fullmatch(commit):
            raise
        logging.info("%s: the Hub is out of reach; %s is taken for %s as before", repo, revision, commit)
        return commit
    write_atomically(memory, f"{commit}\n")
    return str(commit)


def check_access(kind: str, repo: str, revision: str) -> None:
    """Raise AsrmeterError unless the files of a repository may be read, with the token or without one."""
    with explained(kind, repo, revision):
        try:
            huggingface_hub.HfApi().auth_check(repo, repo_type=kind)
        except errors.HfHubHTTPError as error:
            # A mirror may not know the question; then reading the files shows it.
            if error.response.status_code != 404 or isinstance(error, errors.RepositoryNotFoundError):
                raise


def fetch(kind: str, repo: str, commit: str, patterns: Sequence[str]) -> dict[str, Path]:
    """Return the files of a repository at a commit that match `patterns`, by name: from the Hub's cache, else fetched.

    A download that was cut off goes on where it stopped. Every file is checked against the hash that it has in the
    repository; one that differs is deleted.

    Raises:
        AsrmeterError: it cannot be had, or its bytes are not those of the commit.
    """
    logging.info("%s at %s: from the Hub or its cache", repo, commit)
    with explained(kind, repo, commit):
        folder = Path(
            huggingface_hub.snapshot_download(
                repo,
                repo_type=kind,
                revision=commit,
                allow_patterns=list(patterns),
                max_workers=2,
                tqdm_class=_MegabytesTold,
            )
        )
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    files = {path.name: path for path in there if any(map(path.match, patterns))}
    for path in files.values():
        _check(path, repo)
    return files


class _MegabytesTold(tqdm):  # type: ignore[misc]
    """What has come, as lines of the log: a bar that moves is none in a file, and the client shows none there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._told_at_s = time.monotonic()
        super().__init__(*args, **kwargs | {"file": io.StringIO()})

    def update(self, n: float | None = 1) -> bool | None:
        """Count, and log what has come if that was not done lately; of the client's bars, only that of bytes."""
        shown: bool | None = super().update(n)
        downloads = self.unit == "B" and self.desc.startswith("Downloading")
        if downloads and time.monotonic() - self._told_at_s >= log_progress.EVERY_S:
            self._told_at_s = time.monotonic()
            logging.info("%.0f of %.0f MB", self.n / 1e6, (self.total or self.n) / 1e6)
        return shown


def _check(path: Path, repo: str) -> None:
    """Delete a file of the cache that is not what it is called, and say so.

    The cache names each file by its hash in the repository: sha256 for large ones, git's own for the others.
    """
    blob = path.resolve()
    if len(blob.name) == 64:
        found = sha256_of(blob)
    elif COMMIT.fullmatch(blob.name):
        content = blob.read_bytes()
        found = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
    else:
        raise AsrmeterError(f"{path}: cannot be checked, since this file system's cache does not keep its hash")
    if found != blob.name:
        blob.unlink()
        path.unlink()
        raise AsrmeterError(
            f"{repo}: {path.name} has the hash {found}, expected {blob.name}; the file is deleted: "
            "run again to fetch it anew"
        )


class Unreachable(AsrmeterError):
    """The Hub does not answer, or may not be asked."""


@contextlib.contextmanager
def explained(kind: str, repo: str, revision: str) -> Iterator[None]:
    """Turn what the Hub's clients raise about a repository into one line that says what to do.

    Raises:
        AsrmeterError: instead of any error of a client, of the network or of the disk.
    """
    try:
        yield
    except AsrmeterError:
        raise
    except Exception as error:
        raise _explain(error, kind, repo, revision) from error


def _explain(error: Exception, kind: str, repo: str, revision: str) -> AsrmeterError:
    chain = list(_causes(error))
    page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo}"
    what = f"{'data set' if kind == 'dataset' else kind} {repo}"
    for cause in chain:
        status = cause.response.status_code if isinstance(cause, errors.HfHubHTTPError) else None
        match cause:
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                where = cause.filename or huggingface_hub.constants.HF_HUB_CACHE
                return AsrmeterError(
                    f"{what}: no space left on the disk ({where}); free some, or set HF_HOME to a folder on a larger "
                    "one, and run again: files that have come are kept"
                )
            case errors.GatedRepoError() if status == 403:
                return AsrmeterError(
                    f"{what}: its terms are not accepted; open {page} with the account of your token, accept them, and "
                    "run again (a fine-grained token also needs the permission to read gated repositories)"
                )
            case errors.HfHubHTTPError() if status == 401 and _has_token():
                return AsrmeterError(
                    f"{what}: the Hub refuses the token; make a new one at https://huggingface.co/settings/tokens and "
                    "set HF_TOKEN to it"
                )
            case errors.GatedRepoError():
                return AsrmeterError(
                    f"{what}: it is given to signed-in accounts only; accept its terms at {page}, make a token at "
                    "https://huggingface.co/settings/tokens and set HF_TOKEN to it"
                )
            case errors.RevisionNotFoundError():
                return AsrmeterError(f"{what}: it has no revision {revision} (any more); see {page}/commits/main")
            case errors.RepositoryNotFoundError():
                return AsrmeterError(
                    f"{what}: the Hub has no such repository, or it is private: check the id at {page}"
                )
            case errors.RemoteEntryNotFoundError():
                return AsrmeterError(f"{what}: a file is not there at revision {revision}; see {page}/tree/{revision}")
            case errors.OfflineModeIsEnabled():
                return Unreachable(
                    f"{what}: it is not in the cache, and HF_HUB_OFFLINE forbids to ask the Hub; unset it, or copy the "
                    f"cache of a machine that has it ({huggingface_hub.constants.HF_HUB_CACHE})"
                )
            case errors.HfHubHTTPError() if status == 429:
                return AsrmeterError(f"{what}: the Hub wants fewer requests (429); wait some minutes and run again")
            case errors.HfHubHTTPError() if status is not None and status >= 500:
                return Unreachable(f"{what}: the Hub has an error of its own ({status}); run again later")
    if "://" not in huggingface_hub.constants.ENDPOINT:
        return AsrmeterError(
            f"HF_ENDPOINT: {huggingface_hub.constants.ENDPOINT!r} must begin with https:// (or be unset)"
        )
    if any(_is_of_network(cause) for cause in chain):
        return Unreachable(
            f"{what}: {huggingface_hub.constants.ENDPOINT} cannot be reached ({type(chain[-1]).__name__}); check the "
            "network and run again: what has come as a whole is kept"
        )
    return AsrmeterError(f"{what}: {type(error).__name__}: {_safe(str(error))}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came from, the outermost first; clients wrap each other's."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_of_network(error: BaseException) -> bool:
    # The HTTP library is the clients' choice, and has changed; its errors of the network are all RequestErrors.
    names = {base.__name__ for base in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or "RequestError" in names


def _has_token() -> bool:
    return huggingface_hub.get_token() is not None


def _safe(text: str) -> str:
    """Return the first line of a message without the token and without the signatures of addresses."""
    line = (text.splitlines() or [""])[0]
    token = huggingface_hub.get_token() or os.environ.get("HF_TOKEN")
    return re.sub(r"(https?://[^\s?]+)\?\S+", r"\1", line.replace(token, "***") if token else line)
