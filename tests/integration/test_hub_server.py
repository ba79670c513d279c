"""The tests' Hub answers the real clients as the Hub does: huggingface_hub and datasets, in their own process."""

import hashlib
import http.client
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from helpers.hub_server import FOREVER, Hub, Repo

OLD, NEW, GONE = "a" * 40, "b" * 40, "c" * 40
ACCEPTED, NOT_ACCEPTED, INVALID = "hf_accepted", "hf_not_accepted", "hf_invalid"

# huggingface_hub stores pieces of 10 MB: a download can continue from the second piece on only.
WEIGHTS = os.urandom(12_000_000)
MODEL = {"config.json": b"{}", "model.safetensors": WEIGHTS, "other.bin": os.urandom(1000), "onnx/model.onnx": b"onnx"}

AUDIO = [os.urandom(100_000) for _ in range(40)]
CARD = b"""---
configs:
- config_name: en
  data_files:
  - split: test
    path: en/test-*.parquet
- config_name: de
  data_files:
  - split: test
    path: de/test-*.parquet
---
"""


def parquet(audio: list[bytes], rows_per_group: int) -> bytes:
    """Speech as `Dataset.push_to_hub` writes it, without the decoder that datasets needs for it."""
    n = len(audio)
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "id": [f"utterance {i}" for i in range(n)],
        "audio": pa.array([{"bytes": data, "path": f"{i}.wav"} for i, data in enumerate(audio)], struct),
        "number": list(range(n)),
    }
    features = {
        "id": {"dtype": "string", "_type": "Value"},
        "audio": {"sampling_rate": 16000, "_type": "Audio"},
        "number": {"dtype": "int64", "_type": "Value"},
    }
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    out = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), out, row_group_size=rows_per_group)
    return out.getvalue()


SPEECH = {
    "README.md": CARD,
    "en/test-00000-of-00001.parquet": parquet(AUDIO, 10),
    "de/test-00000-of-00001.parquet": parquet(AUDIO[:4], 2),
}


@pytest.fixture
def hub() -> Iterator[Hub]:
    repos = [
        Repo("owner/model", {OLD: MODEL, NEW: {"config.json": b"new"}}, info={"tags": ["license:mit"]}),
        Repo("owner/gated", {OLD: MODEL}, gated=True),
        Repo("owner/speech", {OLD: SPEECH}, "dataset"),
        Repo("owner/gated-speech", {OLD: SPEECH}, "dataset", gated=True),
    ]
    with Hub(repos, tokens={ACCEPTED: True, NOT_ACCEPTED: False}) as hub:
        yield hub


BEGINNING = f"""
import datasets, hashlib, json, os
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.utils._http import http_backoff

OLD, GONE = "{OLD}", "{GONE}"
api = HfApi()

def outcome(call):
    try:
        return call()
    except Exception as error:
        response = getattr(error, "response", None)
        return [type(error).__name__, response.status_code if response else None]

def files_of(folder):
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {{str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}}

def stream(name, config="en", **more):
    rows = datasets.load_dataset(name, config, split="test", streaming=True, revision=OLD, **more)
    return rows.cast_column("audio", datasets.Audio(decode=False)) if "audio" in rows.features else rows
"""


def run(hub: Hub, home: Path, script: str, *, token: str | None = None, offline: bool = False) -> Any:
    """Return the value of `result` in the client's script."""
    beginning = BEGINNING if "stream(" in script else BEGINNING.replace("import datasets, ", "import ")
    client = subprocess.run(
        [sys.executable, "-c", f"{beginning}\n{script}\nprint(json.dumps(result))"],
        env=hub.environment(home, token=token, offline=offline),
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert client.returncode == 0, client.stderr
    return json.loads(client.stdout.splitlines()[-1])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_snapshot_has_its_commits_files_and_works_offline(hub: Hub, tmp_path: Path) -> None:
    snapshot = 'snapshot_download("owner/model", revision=OLD, allow_patterns=["*.json", "model.*"])'
    hub.cut("*/model.safetensors", after=11_000_000)
    result = run(
        hub,
        tmp_path / "home",
        f"""
result = {{
    "files": files_of({snapshot}),
    "main": api.model_info("owner/model").sha,
    "info": [(info := api.model_info("owner/model", revision=OLD, files_metadata=True)).sha, info.tags],
    "sha256": {{file.rfilename: file.lfs.sha256 for file in info.siblings if file.lfs}},
    "tree": [entry.path for entry in api.list_repo_tree("owner/model", revision=OLD, recursive=True, expand=True)],
    "folder": [entry.path for entry in api.list_repo_tree("owner/model", "onnx", revision=OLD)],
    "paths": [entry.path for entry in api.get_paths_info("owner/model", ["onnx", "other.bin", "x"], revision=OLD)],
    "dataset": api.dataset_info("owner/speech", revision=OLD).sha,
}}""",
    )
    assert result == {
        "files": {"config.json": sha256(b"{}"), "model.safetensors": sha256(WEIGHTS)},
        "main": NEW,
        "info": [OLD, ["license:mit"]],
        "sha256": {path: sha256(content) for path, content in MODEL.items() if path != "config.json"},
        "tree": ["config.json", "model.safetensors", "onnx", "onnx/model.onnx", "other.bin"],
        "folder": ["onnx/model.onnx"],
        "paths": ["onnx", "other.bin"],
        "dataset": OLD,
    }
    gets = [request for request in hub.asked("*/model.safetensors") if request.method == "GET"]
    assert [(get.range, get.status, get.sent) for get in gets] == [
        (None, 200, 11_000_000),
        ("bytes=10485760-", 206, len(WEIGHTS) - 10485760),
    ]

    n_requests = len(hub.requests)
    assert run(hub, tmp_path / "home", f"result = files_of({snapshot})", offline=True) == result["files"]
    assert len(hub.requests) == n_requests


GATED = {
    None: ["GatedRepoError", 401],
    NOT_ACCEPTED: ["GatedRepoError", 403],
    ACCEPTED: None,
    INVALID: ["GatedRepoError", 401],
}


@pytest.mark.parametrize("token", GATED)
def test_refusals_reach_the_client_by_their_kind(hub: Hub, tmp_path: Path, token: str | None) -> None:
    result = run(
        hub,
        tmp_path / "home",
        """
result = {
    "list": outcome(lambda: len(list(api.list_repo_tree("owner/gated", revision=OLD)))),
    "download": outcome(lambda: hf_hub_download("owner/gated", "config.json", revision=OLD) and None),
    "snapshot": outcome(lambda: snapshot_download("owner/gated", revision=OLD, allow_patterns="*.json") and None),
    "auth": outcome(lambda: api.auth_check("owner/gated")),
    "revision": outcome(lambda: hf_hub_download("owner/model", "config.json", revision=GONE)),
    "info": outcome(lambda: api.model_info("owner/model", revision=GONE)),
    "file": outcome(lambda: hf_hub_download("owner/model", "gone", revision=OLD)),
    "repository": outcome(lambda: snapshot_download("owner/gone", revision=OLD)),
}""",
        token=token,
    )
    gated = dict.fromkeys(["download", "snapshot", "auth"], GATED[token])
    if token == INVALID:
        assert result == {name: ["HfHubHTTPError", 401] for name in result} | gated | {
            "snapshot": ["HfHubHTTPError", 401]
        }
    else:
        assert result == gated | {
            "list": 4,
            "revision": ["RevisionNotFoundError", 404],
            "info": ["RevisionNotFoundError", 404],
            "file": ["RemoteEntryNotFoundError", 404],
            "repository": ["RepositoryNotFoundError", 404 if token else 401],
        }


def test_faults_reach_the_client(hub: Hub, tmp_path: Path) -> None:
    hub.corrupt("*/other.bin")
    hub.cut("*/model.safetensors", after=1000, reset=True)
    hub.fail("*/auth-check", times=1)
    result = run(
        hub,
        tmp_path / "home",
        """
result = {
    "corrupt": outcome(lambda: files_of(Path(hf_hub_download("owner/model", "other.bin", revision=OLD)).parent)),
    "found": [m["path"] for m in api.verify_repo_checksums("owner/model", revision=OLD).mismatches],
    "reset": outcome(lambda: hf_hub_download("owner/model", "model.safetensors", revision=OLD)),
    "down": outcome(lambda: api.auth_check("owner/model")),
    "up": outcome(lambda: api.auth_check("owner/model")),
}""",
    )
    wrong = bytearray(MODEL["other.bin"])
    wrong[500] ^= 0xFF
    assert result == {
        "corrupt": {"other.bin": sha256(wrong)},
        "found": ["other.bin"],
        "reset": ["ReadError", None],
        "down": ["HfHubHTTPError", 503],
        "up": None,
    }


def test_hub_that_is_gone_does_not_answer(tmp_path: Path) -> None:
    with Hub() as hub:
        pass
    script = 'result = outcome(lambda: api.model_info("owner/model"))'
    assert run(hub, tmp_path / "home", script) == ["ConnectError", None]


def test_datasets_streams_what_is_needed(hub: Hub, tmp_path: Path) -> None:
    # More than is read of the footer and of other columns: the cut is in the audio.
    hub.cut("*/en/*.parquet", after=200_000)
    result = run(
        hub,
        tmp_path / "home",
        f"""
# Without a block size, each read takes 5 MiB more than it needs.
small = {{"storage_options": {{"hf": {{"block_size": 4096}}}}}}
result = {{
    "ids": [row["id"] for row in stream("owner/speech", columns=["id"], **small)],
    "audio": [
        hashlib.sha256(row["audio"]["bytes"]).hexdigest()
        for row in stream("owner/speech", columns=["audio"], filters=[("number", ">=", 30)], **small)
    ],
    "no token": outcome(lambda: stream("owner/gated-speech")),
    "token": len(list(stream("owner/gated-speech", "de", token="{ACCEPTED}"))),
    "config": outcome(lambda: stream("owner/speech", "fr")),
}}""",
    )
    assert result == {
        "ids": [f"utterance {i}" for i in range(40)],
        "audio": [sha256(audio) for audio in AUDIO[30:]],
        "no token": ["DatasetNotFoundError", None],
        "token": 4,
        "config": ["ValueError", None],
    }
    gets = hub.asked("*/en/*.parquet")
    at_cut = next(i for i, get in enumerate(gets) if get.sent == 200_000)
    n_bytes = len(SPEECH["en/test-00000-of-00001.parquet"])
    # The ids, and the footer once more for the audio; then the group of rows with the audio, from its start again.
    assert sum(get.sent for get in gets[:at_cut]) < n_bytes / 10
    assert gets[at_cut].range == gets[at_cut + 1].range
    assert n_bytes / 4 < sum(get.sent for get in gets[at_cut + 1 :]) < n_bytes / 3
    assert hub.sent("/datasets/owner/speech/*/de/*") == 0
    assert {get.token for get in hub.asked("*/owner/gated-speech/*.parquet")} == {ACCEPTED}


def test_datasets_gives_up_in_the_end(hub: Hub, tmp_path: Path) -> None:
    hub.cut("*/en/*.parquet", after=1000, times=FOREVER)
    hub.fail("*/de/*.parquet")
    result = run(
        hub,
        tmp_path / "home",
        """
http_backoff.__kwdefaults__.update(base_wait_time=0.01)
datasets.config.STREAMING_READ_RETRY_INTERVAL = 0.01
datasets.config.STREAMING_READ_MAX_RETRIES = 2
result = [outcome(lambda: stream("owner/speech", config)) for config in ("en", "de")]
""",
    )
    assert result == [["ConnectionError", None], ["HfHubHTTPError", 503]]
    # Two reads of datasets, in each of which huggingface_hub tries six times.
    assert [get.sent for get in hub.asked("*/en/*.parquet")] == [1000] * 12
    assert [get.status for get in hub.asked("*/de/*.parquet")] == [503] * 6


def test_a_file_may_be_read_in_part(hub: Hub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"0123456789")
    hub.add(Repo("owner/small", {OLD: {"model.safetensors": tmp_path / "model.safetensors", "empty": b""}}))
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=10)

    def get(path: str, span: str | None = None, method: str = "GET") -> tuple[int, bytes, Any]:
        headers = {"Range": f"bytes={span}"} if span else {}
        connection.request(method, f"/owner/small/resolve/main/{path}", headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers

    spans = {"2-4": b"234", "7-": b"789", "-2": b"89", "8-99": b"89"}
    assert {span: get("model.safetensors", span)[:2] for span in spans} == {
        span: (206, body) for span, body in spans.items()
    }
    assert get("model.safetensors", "2-4")[2]["Content-Range"] == "bytes 2-4/10"
    status, _, headers = get("model.safetensors", "10-")
    assert (status, headers["Content-Range"]) == (416, "bytes */10")

    status, body, headers = get("model.safetensors", method="HEAD")
    assert (status, body, headers["Content-Length"], headers["X-Linked-Size"]) == (200, b"", "10", "10")
    assert headers["X-Linked-Etag"] == headers["ETag"] == f'"{sha256(b"0123456789")}"'
    assert (headers["X-Repo-Commit"], headers["Accept-Ranges"]) == (OLD, "bytes")
    # The output of `git hash-object` for an empty file.
    assert get("empty", method="HEAD")[2]["ETag"] == '"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"'
    connection.close()
    assert capfd.readouterr() == ("", "")
