"""Speech from a local Hub server, by the real clients: complete, cut off, offline, refused."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.study import validation
from helpers.hub_server import FOREVER, Hub
from helpers.repositories import COMMIT, fleurs, gigaspeech, gigaspeech_row, librispeech, loose, wav

ROOT = Path(__file__).parents[2]
ACCEPTED, NOT_ACCEPTED = "hf_accepted_the_terms", "hf_knows_no_terms"
SELECTION = "f4476de22342da7c8a72d026336305f05a59b0c0aeddf805582e1bd786722d12"
PAGE = "https://huggingface.co/datasets/speechcolab/gigaspeech"
N_ROWS = 90
# The clients retry for half a minute before they give up; here they do not wait.
IMPATIENT = """
import runpy, sys, datasets
from huggingface_hub.utils import _http
_http.http_backoff.__kwdefaults__.update(base_wait_time=0.01, max_retries=2)
datasets.config.STREAMING_READ_RETRY_INTERVAL = datasets.config.STREAMING_OPEN_RETRY_INTERVAL = 0.01
sys.argv = sys.argv[1:]
sys.path.insert(0, "scripts")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def recordings() -> dict[str, np.ndarray]:
    """Three recordings of thirty segments each, of 1 to 3 s; noise, so that all samples differ."""
    rng = np.random.default_rng(7)
    return {
        name: rng.integers(-(2**15), 2**15, 60 * SAMPLE_RATE_HZ).astype(np.int16) for name in ("POD1", "YOU1", "YOU2")
    }


@pytest.fixture(scope="module")
def rows(recordings: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    made = []
    for audio_id, samples in recordings.items():
        cuts = np.linspace(0, len(samples), N_ROWS // 3 + 1).astype(int)
        for i, (begin, end) in enumerate(pairwise(cuts)):
            text = f"{audio_id} SAYS <COMMA> {i} <PERIOD>" if i % 10 != 9 else "<MUSIC>"
            source = "podcast" if audio_id == "POD1" else "youtube"
            begin_s = float(begin) / SAMPLE_RATE_HZ
            made.append(gigaspeech_row(audio_id, i, begin_s, samples[begin:end], text, source))
    return made


@pytest.fixture
def hub(rows: list[dict[str, Any]]) -> Iterator[Hub]:
    with Hub([gigaspeech(rows)], tokens={ACCEPTED: True, NOT_ACCEPTED: False}) as server:
        yield server


class Run:
    """`build_corpus.py` in a process of its own, as the rule runs it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.output = folder, folder / "corpus"

    def __call__(
        self, hub: Hub, corpus: dict[str, Any] | None = None, durations_s: tuple[int, ...] = (5, 15), **client: Any
    ) -> subprocess.CompletedProcess[str]:
        options = {"kind": "gigaspeech", "segments_per_class": 2} | (corpus or {})
        models = {"whisper-tiny.en": {}}
        whole = validation.with_defaults(
            {"name": "x", "models": models, "corpus": options, "devices": ["cpu"]}, "x.yaml"
        )
        client = {"token": ACCEPTED if options["kind"] == "gigaspeech" else None} | client
        return subprocess.run(
            [
                *(
                    sys.executable,
                    "-c",
                    IMPATIENT,
                    "scripts/build_corpus.py",
                    "--corpus",
                    json.dumps(whole.corpus.as_json()),
                ),
                *("--downloads", str(self.folder / "downloads"), "--durations-s", *map(str, durations_s)),
                *("--seed", "42", "--output", str(self.output)),
            ],
            cwd=ROOT,
            env=hub.environment(self.folder / "home", **client) | {"ASRMETER_LOCK": str(self.folder / "lock")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    @property
    def segments(self) -> list[dict[str, Any]]:
        return pq.read_table(self.output / "segments.parquet").to_pylist()

    @property
    def selection(self) -> dict[str, Any]:
        return json.loads((self.output / "selection.json").read_text())

    def bytes_by_file(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.output)): path.read_bytes() for path in self.output.rglob("*.*")}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the error, which is one line."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert ACCEPTED not in done.stderr and NOT_ACCEPTED not in done.stderr
    return lines[0].removeprefix("error: ")


def test_the_whole_path(hub: Hub, run: Run, rows: list[dict[str, Any]], recordings: dict[str, np.ndarray]) -> None:
    assert run(hub, {"segments_per_class": 1}, durations_s=(5,)).returncode == 0
    hub.requests.clear()
    done = run(hub)
    assert done.returncode == 0, done.stderr
    by_id = {row["segment_id"]: row for row in rows}
    assert [segment["duration_s"] for segment in run.segments] == [5, 5, 15, 15]
    for segment in run.segments:
        spoken = [by_id[name] for name in segment["utterances"]]
        assert (
            segment["text"].split()
            == " ".join(row["text"] for row in spoken).replace("<COMMA> ", "").replace(" <PERIOD>", "").split()
        )
        samples, rate_hz = soundfile.read(run.output / segment["path"], dtype="int16")
        begin = round(spoken[0]["begin_time"] * SAMPLE_RATE_HZ)
        assert rate_hz == SAMPLE_RATE_HZ
        # To the bit: the audio of a joined segment is the recording between its times.
        assert np.array_equal(samples, recordings[spoken[0]["audio_id"]][begin : begin + len(samples)])
    assert {segment["source"] for segment in run.segments} == {"podcast", "youtube"}
    assert run.selection["selection_sha256"] == SELECTION
    assert run.selection["origin"] == {
        "dataset": "speechcolab/gigaspeech",
        "config": "dev",
        "split": "validation",
        "commit": COMMIT,
    }
    assert run.selection["dropped"] == {"no speech: <MUSIC>": 9}
    # The table was there already. Of the audio, only the row groups with the clips that the study needs are read.
    whole = sum(len(row["audio"]["bytes"]) for row in rows)
    assert hub.sent("*.parquet") < 0.7 * whole
    for path in run.folder.rglob("*"):
        assert not path.is_file() or ACCEPTED.encode() not in path.read_bytes(), path


def test_cached_speech_needs_no_hub(hub: Hub, run: Run) -> None:
    assert run(hub).returncode == 0
    first, asked = run.bytes_by_file(), len(hub.requests)
    for how in ({"offline": True}, {"token": None, "offline": True}):
        for path in run.output.rglob("*.*"):
            path.unlink()
        done = run(hub, **how)
        assert done.returncode == 0, done.stderr
        assert run.bytes_by_file() == first
    assert len(hub.requests) == asked
    hub.fail()
    done = run(hub)
    assert done.returncode == 0, done.stderr
    assert f"the Hub cannot be reached; using {COMMIT}, the last known commit of main" in done.stderr
    assert run.bytes_by_file() == first


def test_fetch_that_is_cut_off_continues_where_it_stopped(hub: Hub, run: Run, rows: list[dict[str, Any]]) -> None:
    assert run(hub, {"segments_per_class": 1}, durations_s=(5,)).returncode == 0
    hub.cut("*dev/validation-00001*", after=1000, times=FOREVER)
    message = refused(run(hub))
    assert "dataset speechcolab/gigaspeech" in message and "run again: complete files are kept" in message
    assert not list(run.output.parent.glob(".corpus*"))
    hub.mend()
    hub.requests.clear()
    done = run(hub)
    assert done.returncode == 0, done.stderr
    # The clips of the other file, and of the first study, were cached before.
    assert "clips to fetch" in done.stderr
    n_missing, n_wanted = map(int, done.stderr.split(" clips to fetch")[0].split()[-3::2])
    assert 0 < n_missing < n_wanted
    assert run.selection["selection_sha256"] == SELECTION


def test_connection_that_breaks_once_is_not_an_error(hub: Hub, run: Run) -> None:
    hub.cut("*dev/validation-00000*", after=20_000)
    done = run(hub)
    assert done.returncode == 0, done.stderr
    assert run.selection["selection_sha256"] == SELECTION


def test_a_damaged_clip_is_fetched_again(hub: Hub, run: Run) -> None:
    assert run(hub).returncode == 0
    first = run.bytes_by_file()
    damaged = sorted((run.folder / "downloads").rglob("*.flac"))[0]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    done = run(hub)
    assert done.returncode == 0, done.stderr
    assert ": 1 of " in done.stderr and "clips to fetch" in done.stderr
    assert run.bytes_by_file() == first


def test_clip_that_differs_from_its_row_is_named_and_replaced(rows: list[dict[str, Any]], run: Run) -> None:
    with Hub([gigaspeech(rows)], tokens={ACCEPTED: True}) as hub:
        assert run(hub).returncode == 0
    drawn = run.segments[0]["utterances"][0]
    for broken, reason in (
        (b"\x80RIFF no", "cannot be decoded"),
        (wav(np.tile([0.1, -0.1], 50)), "its audio has 0.01 s"),
    ):
        bad = [row | {"audio": row["audio"] | {"bytes": broken}} if row["segment_id"] == drawn else row for row in rows]
        other = Run(run.folder / reason.replace(" ", "-"))
        with Hub([gigaspeech(bad)], tokens={ACCEPTED: True}) as hub:
            done = other(hub)
        assert done.returncode == 0, done.stderr
        assert f"skipped {drawn}: {reason}" in done.stderr
        assert [entry["name"] for entry in other.selection["skipped"]] == [drawn]
        assert len(other.segments) == 4
        assert drawn not in [name for segment in other.segments for name in segment["utterances"]]


@pytest.mark.parametrize(
    ("how", "corpus", "words"),
    [
        ({"token": None}, {}, ["only signed-in accounts may read it", f"accept its terms at {PAGE}", "set HF_TOKEN"]),
        ({"token": NOT_ACCEPTED}, {}, [f"its terms are not accepted; open {PAGE} with the account of your token"]),
        ({"token": "hf_mistyped"}, {}, ["the Hub refuses the token", "set HF_TOKEN"]),
        ({}, {"revision": "0" * 40}, ["it does not have the revision 0000", "/commits/main"]),
        ({}, {"revision": "v9"}, ["it does not have the revision v9"]),
        ({}, {"id": "speechcolab/gigaspich"}, ["the Hub does not have such a repository, or it is private"]),
        ({}, {"config": "devel"}, ["devel", "dev"]),
        ({}, {"split": "valid"}, ["valid", "validation"]),
        ({"offline": True}, {}, ["HF_HUB_OFFLINE forbids asking the Hub"]),
        ({}, {"selection_sha256": "0" * 64}, ["corpus.selection_sha256 is 000000", "this selection has"]),
    ],
    ids=["token", "terms", "bad token", "commit", "tag", "repository", "config", "split", "offline", "selection"],
)
def test_refusal_says_why_and_what_to_do(
    hub: Hub, run: Run, how: dict[str, Any], corpus: dict[str, Any], words: list[str]
) -> None:
    message = refused(run(hub, corpus, **how))
    for word in words:
        assert word in message
    assert not run.output.exists()


def test_no_network(run: Run, rows: list[dict[str, Any]]) -> None:
    with Hub() as hub:
        pass
    message = refused(run(hub))
    assert f"{hub.url} cannot be reached" in message and "check the network" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
@pytest.mark.parametrize("place", ["downloads", "results"])
def test_a_full_disk(hub: Hub, run: Run, place: str) -> None:
    small = run.folder / place
    small.mkdir()
    run.output = run.folder / "results" / "corpus"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], check=True)
    try:
        message = refused(run(hub))
        left = [path for path in small.rglob("*") if path.name.startswith(".")]
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert "no space left on the disk; free some space and run again; no partial file was left" in message
    assert left == []
    done = run(hub)
    assert done.returncode == 0, done.stderr
    assert run.selection["selection_sha256"] == SELECTION


def test_other_columns_than_gigaspeech_has_are_named(run: Run) -> None:
    repo = librispeech([("a", wav(np.zeros(16)))] * 4)
    with Hub([repo], tokens={ACCEPTED: True}) as hub:
        message = refused(run(hub, {"id": repo.id, "config": "default", "split": "test"}))
    assert (
        "no column segment_id, audio_id, begin_time, end_time, text, source; it has file, audio, quiet, sentence, words"
        in message
    )


SPOKEN = [(f"text number {i}", 1.5 + 0.05 * i) for i in range(12)]


@pytest.fixture(scope="module")
def sounds() -> list[tuple[str, bytes]]:
    """Twelve utterances, one of them without text and one that is not audio."""
    rng = np.random.default_rng(5)
    made = [(text, wav(rng.uniform(-1, 1, round(seconds * 8000)), 8000)) for text, seconds in SPOKEN]
    made[3] = (" ", made[3][1])
    made[7] = (made[7][0], b"nonsense")
    return made


HUB = {"kind": "hub", "id": "me/speech", "language": "en", "text": "sentence", "segments_per_class": None}


def test_any_dataset_by_one_entry(run: Run, sounds: list[tuple[str, bytes]]) -> None:
    with Hub([librispeech(sounds)]) as hub:
        done = run(hub, HUB, durations_s=(5,), token=None)
        assert done.returncode == 0, done.stderr
        assert run.selection["skipped"] == [
            {"name": "row-000003", "reason": "has no text"},
            {"name": "row-000007", "reason": "is text; fetch the file itself"},
        ]
        assert run.selection["corpus"]["name"] == "speech-test"
        heard = " ".join(segment["text"] for segment in run.segments).split("text number ")[1:]
        assert sorted(map(int, heard)) == [i for i in range(len(sounds)) if i not in (3, 7)]
        asked = len(hub.requests)
        done = run(hub, HUB | {"durations": "natural"}, durations_s=(2, 3), token=None, offline=True)
        assert done.returncode == 0, done.stderr
        assert [segment["text"] for segment in run.segments] == [
            text for i, (text, _) in enumerate(sounds) if i not in (3, 7)
        ]
        assert [segment["audio_s"] for segment in run.segments] == pytest.approx(
            [seconds for i, (_, seconds) in enumerate(SPOKEN) if i not in (3, 7)]
        )
        assert len(hub.requests) == asked
        first = run.bytes_by_file()
        next((run.folder / "downloads").rglob("*.flac")).write_bytes(b"damaged")
        done = run(hub, HUB | {"durations": "natural"}, durations_s=(2, 3), token=None)
        assert done.returncode == 0, done.stderr
        assert run.bytes_by_file() == first


def test_dataset_that_is_cut_off_continues(run: Run, sounds: list[tuple[str, bytes]]) -> None:
    with Hub([librispeech(sounds)]) as hub:
        hub.cut("*test-00001*", after=2**16, times=FOREVER)  # more than is read of the footer
        assert "run again: complete files are kept" in refused(run(hub, HUB, durations_s=(5,)))
        hub.mend()
        hub.requests.clear()
        done = run(hub, HUB, durations_s=(5,))
        assert done.returncode == 0, done.stderr
        assert [entry["name"] for entry in run.selection["skipped"]] == ["row-000003", "row-000007"]
        # Only the footer of the first file is read again.
        begins = {
            number: min(int(r.range.split("=")[1].split("-")[0]) for r in hub.asked(f"*test-0000{number}*") if r.range)
            for number in (0, 1)
        }
        assert begins[0] > 10_000 and begins[1] < 1000


def test_other_formats_are_read_from_the_hubs_parquet_copy(run: Run) -> None:
    rng = np.random.default_rng(5)
    rows = [(f"spoken {i}", wav(rng.uniform(-1, 1, 32_000))) for i in range(4)]
    corpus = HUB | {"id": "me/loose", "split": "train", "text": "text"}
    with Hub([loose(rows)]) as hub:
        message = refused(run(hub, corpus, durations_s=(5,)))
        assert "it is not in Parquet; use the Hub's own copy with corpus.revision: refs/convert/parquet" in message
        done = run(hub, corpus | {"revision": "refs/convert/parquet"}, durations_s=(5,))
    assert done.returncode == 0, done.stderr
    assert " ".join(segment["text"] for segment in run.segments) == "spoken 0 spoken 1 spoken 2 spoken 3"


def test_two_columns_of_audio_are_kept_apart(run: Run, sounds: list[tuple[str, bytes]]) -> None:
    with Hub([librispeech(sounds)]) as hub:
        loud = HUB | {"name": "x", "segments_per_class": 1}
        assert run(hub, loud, durations_s=(5,)).returncode == 0
        first = run.bytes_by_file()
        quiet = loud | {"audio": "quiet"}
        assert run(hub, quiet, durations_s=(5,)).returncode == 0
        assert all(abs(soundfile.read(run.output / segment["path"])[0]).max() < 0.02 for segment in run.segments)
        assert run(hub, loud, durations_s=(5,)).returncode == 0
        assert {name: run.bytes_by_file()[name] for name in first if name.endswith("flac")} == {
            name: content for name, content in first.items() if name.endswith("flac")
        }
        message = refused(run(hub, HUB | {"text": "words"}, durations_s=(5,)))
        assert "corpus.text names a column of list values, not of texts" in message


def test_a_dataset_needs_no_texts(run: Run, sounds: list[tuple[str, bytes]]) -> None:
    with Hub([librispeech(sounds)]) as hub:
        done = run(hub, HUB | {"text": None, "durations": "natural"}, durations_s=(2, 3), token=None)
    assert done.returncode == 0, done.stderr
    assert [entry["name"] for entry in run.selection["skipped"]] == ["row-000007"]
    assert [segment["text"] for segment in run.segments] == [""] * (len(sounds) - 1)


def test_the_text_column_must_be_there(run: Run, sounds: list[tuple[str, bytes]]) -> None:
    with Hub([librispeech(sounds)]) as hub:
        message = refused(run(hub, HUB | {"text": "transcript"}, durations_s=(5,)))
    assert "no column transcript; it has file, audio, quiet, sentence, words" in message


RUSSIAN = ["Съешь ещё этих мягких французских булок", "Да выпей же чаю"]
FRENCH = ["Bonjour, comment puis-je vous aider?", "Je voudrais changer mon adresse."]


def noise(*texts: str, length_s: float = 2) -> list[tuple[str, bytes]]:
    rng = np.random.default_rng(5)
    return [(text, wav(rng.uniform(-1, 1, round(length_s * SAMPLE_RATE_HZ)))) for text in texts]


def test_the_hubs_copy_has_the_languages_of_configurations(run: Run) -> None:
    copy = HUB | {"id": "google/fleurs", "language": None, "text": "raw_transcription"}
    several = copy | {"configs": ["ru_ru", "fr_fr"], "revision": "refs/convert/parquet", "durations": "natural"}
    with Hub([fleurs({"ru_ru": noise(*RUSSIAN), "fr_fr": noise(*FRENCH)})]) as hub:
        done = run(hub, several, durations_s=(5,))
        assert done.returncode == 0, done.stderr
        assert "the language is ru, by the configuration ru_ru" in done.stderr
        found = [(one["utterances"], one["text"], one["language"], one["language_told"]) for one in run.segments]
        assert found == [
            ([f"{config}/row-00000{n}"], text, config[:2], config[:2])
            for config, texts in (("ru_ru", RUSSIAN), ("fr_fr", FRENCH))
            for n, text in enumerate(texts)
        ]
        # Joined, no segment is of two; and the commit of the record is as good as the branch.
        origin = run.selection["origin"]
        assert origin["config"] == ["ru_ru", "fr_fr"]
        done = run(hub, several | {"revision": origin["commit"], "durations": "joined", "language": "auto"}, (5,))
        assert done.returncode == 0, done.stderr
        assert [(one["language"], one["language_told"]) for one in run.segments] == [("ru", None), ("fr", None)]
        single = copy | {"config": "xx_xx", "revision": "refs/convert/parquet"}
        assert "dataset google/fleurs: it has no configuration xx_xx" in refused(run(hub, single, durations_s=(5,)))
        told = single | {"config": "ru_ru", "language": "uk", "durations": "natural"}
        done = run(hub, told, durations_s=(5,))
        why = "corpus.language: uk is told, and the configuration ru_ru names ru"
        assert f"google/fleurs ru_ru: {why}" in done.stderr
        assert run.selection["warnings"] == [{"name": "google/fleurs ru_ru", "reason": why}]


def test_the_language_is_on_the_card_or_in_the_texts(run: Run) -> None:
    rows = noise(*RUSSIAN * 3)
    repo = librispeech(rows)
    untold = HUB | {"language": None, "durations": "natural"}
    with Hub([repo]) as hub:
        message = refused(run(hub, untold, durations_s=(5,)))
        assert message == (
            "corpus.language: the texts of dataset me/speech are not said to be in any language, and look Russian: "
            "write language: ru (or auto, to let models detect it)"
        )
    repo.info["cardData"] = {"language": "ru"}
    other = Run(run.folder / "card")
    with Hub([repo]) as hub:
        done = other(hub, untold, durations_s=(5,))
        assert done.returncode == 0, done.stderr
        assert "the language is ru, by the card of the dataset" in done.stderr
        assert {one["language"] for one in other.segments} == {"ru"}
        assert other(hub, untold, durations_s=(5,), offline=True).returncode == 0
        assert {one["language"] for one in other.segments} == {"ru"}


def test_silent_rows_without_a_text_are_kept_apart(run: Run) -> None:
    quiet = wav(np.random.default_rng(3).normal(0, 1e-4, 40 * SAMPLE_RATE_HZ))
    rows = [*noise(*FRENCH), ("", quiet), ("un mot", quiet), *noise(" ")]
    natural = HUB | {"language": "fr", "durations": "natural"}
    with Hub([librispeech(rows)]) as hub:
        for _ in range(2):  # from the Hub, then from what was kept
            done = run(hub, natural, durations_s=(5,))
            assert done.returncode == 0, done.stderr
            assert [one["text"] for one in run.segments] == FRENCH
            assert [(one["name"], one["audio_s"]) for one in run.selection["silent"]] == [("row-000002", 30)]
            skipped = {one["name"]: one["reason"].partition(":")[0] for one in run.selection["skipped"]}
            assert skipped == {"row-000003": "is silent", "row-000004": "has no text"}


def test_studies_that_need_the_hub_name_what_is_there() -> None:
    whole = validation.with_defaults(yaml.safe_load((ROOT / "studies" / "edlm2025.yaml").read_text()), "edlm2025.yaml")
    said = whole.corpus.as_json()
    assert (said["id"], said["config"], said["split"]) == ("speechcolab/gigaspeech", "dev", "validation")
