"""The Hugging Face Hub: download pinned files into its cache, check them, and explain errors in one line.

The client libraries read the token (HF_TOKEN, or `hf auth login`), which is never shown. HF_HOME, HF_ENDPOINT and
HF_HUB_OFFLINE work as for every client. Cached files are not downloaded again.
"""

import contextlib
import errno
import hashlib
import io
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.utils.logging
from huggingface_hub import constants, errors
from tqdm import tqdm

from asrmeter.common import log_progress
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.files import sha256_of, write_atomically
from asrmeter.common.regular_files import read_regular

# Their log lines contain the addresses of files, which may be signed, and retries; errors are raised anyway. The Hub's
# client sets its level when its logging is imported, above.
for _library in ("httpx", "httpx2", "huggingface_hub"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)
# Its own handler would bypass our log, which hides secrets in addresses.
logging.getLogger(huggingface_hub.__name__).handlers.clear()

COMMIT = re.compile(r"[0-9a-f]{40}")


def commit_of(kind: str, repo: str, revision: str, memory: Path) -> str:
    """Return the commit of a branch or tag; a commit is returned without asking the Hub.

    `kind` is "model" or "dataset". The Hub's answer is saved in the file `memory`, and read from there while the Hub
    cannot be reached.

    Raises:
        AsrmeterError: the Hub has no such revision, or cannot be reached and there is no saved answer.
    """
    if COMMIT.fullmatch(revision):
        return revision
    try:
        with explained(kind, repo, revision):
            commit = huggingface_hub.HfApi().repo_info(repo, repo_type=kind, revision=revision).sha
    except Unreachable:
        commit = memory.read_text(encoding="utf-8").strip() if memory.is_file() else ""
        if not COMMIT.fullmatch(commit):
            raise
        logging.info("%s: the Hub cannot be reached; using %s, the last known commit of %s", repo, commit, revision)
        return commit
    write_atomically(memory, f"{commit}\n")
    return str(commit)


def card_languages(dataset: str, memory: Path) -> list[str]:
    """Return the languages on the card of a dataset, as written there.

    The Hub's answer is saved in the file `memory` and later read from there.

    Raises:
        AsrmeterError: the Hub cannot be reached, or has no such dataset, and there is no saved answer.
    """
    try:
        saved = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        saved = None
    if isinstance(saved, list):
        return list(map(str, saved))
    with explained("dataset", dataset, "main"):
        card = huggingface_hub.HfApi().dataset_info(dataset).card_data
    written = card.get("language") if card else None
    named = [written] if isinstance(written, str) else list(map(str, written or ()))
    write_atomically(memory, json.dumps(named))
    return named


def check_access(kind: str, repo: str, revision: str) -> None:
    """Raise AsrmeterError unless the files of a repository may be read, with or without a token."""
    with explained(kind, repo, revision):
        try:
            huggingface_hub.HfApi().auth_check(repo, repo_type=kind)
        except errors.HfHubHTTPError as error:
            # A mirror may lack this endpoint. Then the download of files shows whether they may be read.
            if error.response.status_code != 404 or isinstance(error, errors.RepositoryNotFoundError):
                raise


def fetch(kind: str, repo: str, commit: str, patterns: Sequence[str]) -> dict[str, Path]:
    """Return the files of a repository at a commit that match `patterns`, by name, from the Hub's cache or the Hub.

    A download that was cut off continues where it stopped. Every file is checked against its hash in the repository;
    one that differs is deleted.

    Raises:
        AsrmeterError: a file cannot be fetched, or differs from that of the commit.
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
                tqdm_class=_LoggedProgress,
            )
        )
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files = {path.name: path for path in found if any(map(path.match, patterns))}
    for path in files.values():
        _check(path, repo)
    return files


class _LoggedProgress(tqdm):  # type: ignore[misc]
    """Download progress as log lines instead of a progress bar."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._logged_at_s = time.monotonic()
        super().__init__(*args, **kwargs | {"file": io.StringIO()})

    def update(self, n: float | None = 1) -> bool | None:
        """Count, and log the progress every few seconds; only for the bar that counts bytes."""
        shown: bool | None = super().update(n)
        downloads = self.unit == "B" and self.desc.startswith("Downloading")
        if downloads and time.monotonic() - self._logged_at_s >= log_progress.INTERVAL_S:
            self._logged_at_s = time.monotonic()
            logging.info("%.0f of %.0f MB", self.n / 1e6, (self.total or self.n) / 1e6)
        return shown


def _check(path: Path, repo: str) -> None:
    """Delete a file of the cache that does not match its hash, and raise AsrmeterError.

    The cache names each file by its hash in the repository: sha256 for large files, git's own for the others.
    """
    blob = path.resolve()
    if len(blob.name) == 64:
        found = sha256_of(blob)
    elif COMMIT.fullmatch(blob.name):
        content = read_regular(blob)
        found = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
    else:
        raise AsrmeterError(f"{path}: cannot be checked, because the cache on this file system does not keep its hash")
    if found != blob.name:
        blob.unlink()
        path.unlink()
        raise AsrmeterError(
            f"{repo}: {path.name} has the hash {found}, expected {blob.name}; the file is deleted; "
            "run again to download it again"
        )


class Unreachable(AsrmeterError):
    """The Hub cannot be reached, or HF_HUB_OFFLINE forbids it."""


@contextlib.contextmanager
def explained(kind: str, repo: str, revision: str) -> Iterator[None]:
    """Turn any error of the Hub's clients about a repository into one line with a way out.

    Raises:
        AsrmeterError: instead of any error of a client, the network or the disk.
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
    what = f"{kind} {repo}"
    for cause in chain:
        status = cause.response.status_code if isinstance(cause, errors.HfHubHTTPError) else None
        match cause:
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                where = cause.filename or constants.HF_HUB_CACHE
                return AsrmeterError(
                    f"{what}: no space left on the disk ({where}); free some, or set HF_HOME to a folder on a larger "
                    "one, and run again: complete files are kept"
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
                    f"{what}: only signed-in accounts may read it; accept its terms at {page}, make a token at "
                    "https://huggingface.co/settings/tokens and set HF_TOKEN to it"
                )
            case errors.RevisionNotFoundError():
                return AsrmeterError(
                    f"{what}: it does not have the revision {revision} (any more); see {page}/commits/main"
                )
            case errors.RepositoryNotFoundError():
                return AsrmeterError(
                    f"{what}: the Hub does not have such a repository, or it is private; check the id at {page}"
                )
            case errors.RemoteEntryNotFoundError():
                return AsrmeterError(f"{what}: a file is missing at revision {revision}; see {page}/tree/{revision}")
            case errors.OfflineModeIsEnabled():
                return Unreachable(
                    f"{what}: it is not in the cache, and HF_HUB_OFFLINE forbids asking the Hub; unset it, or copy the "
                    f"cache of a machine that has it ({constants.HF_HUB_CACHE})"
                )
            case errors.HfHubHTTPError() if status == 429:
                return AsrmeterError(f"{what}: the Hub limits requests (429); wait some minutes and run again")
            case errors.HfHubHTTPError() if status is not None and status >= 500:
                return Unreachable(f"{what}: the Hub has an internal error ({status}); run again later")
    if "://" not in constants.ENDPOINT:
        return AsrmeterError(f"HF_ENDPOINT: {constants.ENDPOINT!r} must begin with https:// (or be unset)")
    if any(_is_network_error(cause) for cause in chain):
        return Unreachable(
            f"{what}: {constants.ENDPOINT} cannot be reached ({type(chain[-1]).__name__}); check the "
            "network and run again: complete files are kept"
        )
    return AsrmeterError(f"{what}: {type(error).__name__}: {_safe(str(error))}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, the outermost first: the clients wrap each other's errors."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _is_network_error(error: BaseException) -> bool:
    # By name, because the clients have changed their HTTP library; all its network errors are RequestErrors.
    names = {base.__name__ for base in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or "RequestError" in names


def _has_token() -> bool:
    return huggingface_hub.get_token() is not None


def _safe(text: str) -> str:
    """Return the first line of a message without any token."""
    line = (text.splitlines() or [""])[0]
    token = huggingface_hub.get_token() or os.environ.get("HF_TOKEN")
    return line.replace(token, "***") if token else line
