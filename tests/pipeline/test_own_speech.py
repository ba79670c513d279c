"""Speech and models from elsewhere, from Snakemake's command to the report: the Hub, and a folder of one's own."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.corpora.kinds import packages
from asrmeter.corpora.segments import Clip, Utterance
from helpers.checkouts import Checkout, MakeCheckout, one_cell
from helpers.hub_server import Hub, Repo
from helpers.repositories import COMMIT, gigaspeech, gigaspeech_row

pytestmark = pytest.mark.pipeline
TOKEN, TERMS_NOT_ACCEPTED = "hf_tokenoftheaccount", "hf_tokenofanother"


@pytest.fixture(scope="module")
def spoken(downloads: Path) -> tuple[list[Utterance], Clip]:
    """Real speech with its texts."""
    speech = packages.load(packages.PackagesCorpus(kind="packages", name="quickstart"), downloads)
    clip, _ = speech.fetch(speech.utterances)
    return speech.utterances, clip


@pytest.fixture(scope="module")
def hub(spoken: tuple[list[Utterance], Clip], inputs: Checkout) -> Iterator[Hub]:
    """A Hub with real speech in GigaSpeech's form, behind its terms, and real weights."""
    utterances, clip = spoken
    rows: list[dict[str, Any]] = []
    for number, utterance in enumerate(utterances):
        words = utterance.text.upper().replace(",", " <COMMA>").replace(".", " <PERIOD>")
        source = "podcast" if number % 2 else "youtube"
        begin_s = utterance.begin / SAMPLE_RATE_HZ
        rows.append(gigaspeech_row(utterance.recording, number, begin_s, clip(utterance).samples, words, source))
        if utterance.recording != "sonnet":
            at_s = utterance.end / SAMPLE_RATE_HZ
            noise = np.zeros(SAMPLE_RATE_HZ)
            rows.append(gigaspeech_row(utterance.recording, 1000 + number, at_s, noise, "<NOISE>", source))
    folder = inputs.results / "models" / "whisper-tiny.en"
    files: dict[str, bytes | Path] = {path.name: path for path in folder.glob("[!.p]*")}
    files |= {"preprocessor_config.json": folder / "preprocessor_config.json", "pytorch_model.bin": b"pickle"}
    tokens = {TOKEN: True, TERMS_NOT_ACCEPTED: False}
    with Hub([gigaspeech(rows), Repo("me/tiny", {COMMIT: files})], tokens) as server:
        yield server


def client(hub: Hub, checkout: Checkout, token: str, offline: str = "0") -> dict[str, str]:
    home = {"HF_HOME": str(checkout.folder.with_name("hub-home")), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return home | {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HUB_OFFLINE": offline, "NO_PROXY": "127.0.0.1"}


@pytest.fixture(scope="module")
def fetched(hub: Hub, make_checkout: MakeCheckout) -> Checkout:
    """A checkout whose study ran on speech and weights of the Hub, after the terms had to be accepted."""
    checkout = make_checkout("hub")
    study = one_cell(
        corpus={"kind": "gigaspeech", "segments_per_class": 3},
        models={"tiny": {"id": "me/tiny", "revision": COMMIT}},
    )
    checkout.write(study)
    refused = checkout.run(check=False, **client(hub, checkout, TERMS_NOT_ACCEPTED))
    assert refused.code != 0 and "Traceback" not in refused.output
    assert "error: dataset speechcolab/gigaspeech: its terms are not accepted; open https://" in refused.output
    assert not (checkout.results / "corpus").exists() and not checkout.measured
    checkout.run(limit_s=300, **client(hub, checkout, TOKEN))
    return checkout


def cells(checkout: Checkout) -> list[dict[str, Any]]:
    return pq.read_table(checkout.results / "tables" / "cells.parquet").to_pylist()


def test_gigaspeech_and_a_model_of_the_hub_become_a_report(fetched: Checkout) -> None:
    (cell,) = cells(fetched)
    assert (cell["weights"], cell["attention"], cell["n_segments"]) == ("pretrained", "sdpa", 3)
    assert 0 <= cell["wer"] < 0.5
    # Whisper writes punctuation, which the corpus' own scoring counts as errors.
    assert cell["wer_corpus"] > cell["wer"]
    assert cell["normaliser_corpus"] == "gigaspeech-scoring 1" and "gigaspeech-scoring" in cell["normaliser"]
    report = (fetched.results / "report.html").read_text()
    for shown in ("speechcolab/gigaspeech", COMMIT, "WER by the corpus", "no speech: &lt;NOISE&gt;"):
        assert shown in report, shown


def test_no_token_is_written_down(fetched: Checkout) -> None:
    looked_at = 0
    for folder in (fetched.results, fetched.folder / ".snakemake", fetched.folder.with_name("hub-home")):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix != ".safetensors":
                content = path.read_bytes()
                assert TOKEN.encode() not in content and TERMS_NOT_ACCEPTED.encode() not in content, path
                looked_at += 1
    assert looked_at > 30


def test_what_was_fetched_needs_no_network_again(hub: Hub, fetched: Checkout) -> None:
    selection = (fetched.results / "corpus" / "gigaspeech" / "selection.json").read_bytes()
    shutil.rmtree(fetched.results / "corpus")
    shutil.rmtree(fetched.results / "models")
    hub.requests.clear()
    targets = ("results/models/tiny", "results/corpus/gigaspeech/segments.parquet")
    ran = fetched.run(*targets, **client(hub, fetched, TOKEN, offline="1"))
    assert ran.jobs == {"corpus": 1, "model": 1}
    assert (fetched.results / "corpus" / "gigaspeech" / "selection.json").read_bytes() == selection
    assert hub.requests == []
    # The same speech and weights as before: nothing is measured anew.
    assert fetched.plan() == {}


GOOD, BAD = 17, {"truncated.wav": "truncated", "empty.flac": "is empty", "silent.ogg": "has no text"}
FORMATS = [
    ("wav", {"format": "WAV", "subtype": "PCM_16"}, 8_000, 1),
    ("flac", {"format": "FLAC", "subtype": "PCM_24"}, 44_100, 2),
    ("mp3", {"format": "MP3"}, 22_050, 1),
    ("ogg", {"format": "OGG", "subtype": "VORBIS"}, 48_000, 2),
]


@pytest.fixture(scope="module")
def folder(spoken: tuple[list[Utterance], Clip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty files of speech in four formats, as a person may have them; three of them are no good."""
    import librosa

    target = tmp_path_factory.mktemp("own") / "My calls"
    target.mkdir()
    utterances, clip = spoken
    short = [utterance for utterance in utterances if 1 < (utterance.end - utterance.begin) / SAMPLE_RATE_HZ < 4.9]
    lines = []
    for i in range(GOOD):
        utterance = short[i % len(short)]
        ending, written, rate_hz, channels = FORMATS[i % len(FORMATS)]
        samples = librosa.resample(clip(utterance).samples, orig_sr=SAMPLE_RATE_HZ, target_sr=rate_hz)
        soundfile.write(target / f"call {i}.{ending}", np.stack([samples] * channels, axis=1), rate_hz, **written)
        lines.append({"file_name": f"call {i}.{ending}", "text": utterance.text})
    whole = io.BytesIO()
    soundfile.write(whole, clip(short[0]).samples, SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    (target / "truncated.wav").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    (target / "empty.flac").write_bytes(b"")
    soundfile.write(target / "silent.ogg", clip(short[0]).samples, SAMPLE_RATE_HZ, format="OGG")
    lines += [{"file_name": name, "text": "" if name == "silent.ogg" else "what was said"} for name in BAD]
    (target / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(list(target.glob("*.*"))) == GOOD + len(BAD) + 1
    return target


def test_a_folder_of_mixed_files_becomes_a_report(folder: Path, make_checkout: MakeCheckout, inputs: Checkout) -> None:
    checkout = make_checkout("folder", made_from=inputs)
    corpus = {"kind": "folder", "path": str(folder), "durations": "natural"}
    checkout.write(one_cell(corpus=corpus))
    ran = checkout.run(limit_s=300)
    (cell,) = cells(checkout)
    assert cell["n_segments"] == GOOD
    assert 0 <= cell["wer"] < 0.5
    selection = json.loads((checkout.results / "corpus" / "My-calls" / "selection.json").read_text())
    assert {entry["name"] for entry in selection["skipped"]} == set(BAD)
    segments = pq.read_table(checkout.results / "corpus" / "My-calls" / "segments.parquet").to_pylist()
    assert sorted(name for segment in segments for name in segment["utterances"]) == sorted(
        f"call {i}.{FORMATS[i % len(FORMATS)][0]}" for i in range(GOOD)
    )
    report = (checkout.results / "report.html").read_text()
    assert "3 audio files could not be used and are excluded" in report
    for name, reason in BAD.items():
        assert name in report and reason in report
        assert f"skipped {name}: {reason}" in ran.output
    # A changed file makes its cells anew, an unchanged one nothing.
    assert checkout.plan() == {}
    (folder / "call 0.wav").touch()
    assert checkout.plan()["measure_cpu"] == 1
