"""Model folders from a local folder, from the Hub by the real client, with random weights; or refused in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.models import build, catalogue
from asrmeter.models.catalogue import ModelSettings
from asrmeter.runtimes.base import Setup, Timeline
from asrmeter.sources.integrity import PROVENANCE
from asrmeter.sources.packages import Archives
from asrmeter.study import validation
from asrmeter.study.fingerprints import model_fingerprint
from asrmeter.study.model import Study
from helpers.hub_server import FOREVER, Hub, Repo
from helpers.model_folders import ctc_folder, edit, whisper_folder, write
from helpers.speech import english

ROOT = Path(__file__).parents[2]
COMMIT, OLDER = "c0ffee" * 6 + "beef", "0123456789" * 4
TOKEN, REFUSED = "hf_secret_of_mine", "hf_without_terms"


def study_of(seed: int = 42, **settings: Any) -> Study:
    """Return a study of one model."""
    written = {"name": "x", "models": {"mine": settings}, "devices": ["cpu"], "seed": seed}
    return validation.with_defaults(written, "x.yaml")


def made(target: Path, **settings: Any) -> dict[str, Any]:
    """Make a model folder in this process; return its provenance."""
    build.build("mine", study_of(**settings).models["mine"], 42, Archives(target.parent), target)
    return json.loads((target / PROVENANCE).read_text())


def heard(model: Path, family: str) -> str:
    runtime = runtimes.load("transformers", Setup(model, family, {"dtype": "float32", "attention": "sdpa"}))
    waveform = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    return runtime.transcribe(english([waveform]), Timeline())[0].text


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return whisper_folder(tmp_path_factory.mktemp("models") / "whisper")


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return ctc_folder(tmp_path_factory.mktemp("models") / "hubert", "hubert", masked=True)


@pytest.fixture
def copy(whisper: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whisper, tmp_path / "copy"))


# A folder


@pytest.mark.parametrize("name", ["whisper", "hubert"])
def test_local_folder_is_copied_unchanged(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source: Path = request.getfixturevalue(name)
    (source / "notes.txt").write_text("of mine")
    told = made(tmp_path / "model", path=str(source))
    assert told["weights"] == "pretrained"
    assert told["family"] == {"whisper": "whisper", "hubert": "ctc"}[name]
    assert told["parameters"] > 1000 and "notes.txt" not in told["sha256"]
    assert told["weights_sha256"] == told["sha256"]["model.safetensors"]
    assert heard(tmp_path / "model", told["family"]) == heard(source, told["family"]) != ""
    # A copy: altering the source does not alter what was measured.
    assert not (tmp_path / "model" / "model.safetensors").samefile(source / "model.safetensors")


def test_an_altered_folder_is_another_model(copy: Path) -> None:
    study = study_of(path=str(copy))
    before = model_fingerprint(study, "mine")
    assert model_fingerprint(study_of(seed=2, path=str(copy)), "mine") == before
    (copy / "notes.md").write_text("of mine")
    assert model_fingerprint(study, "mine") == before
    weights = copy / "model.safetensors"
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 1))
    assert model_fingerprint(study, "mine") != before


def test_weights_in_parts(copy: Path, tmp_path: Path) -> None:
    whole = heard(copy, "whisper")
    network = transformers.WhisperForConditionalGeneration.from_pretrained(copy)
    (copy / "model.safetensors").unlink()
    network.save_pretrained(copy, max_shard_size="1MB")
    assert len(list(copy.glob("model-*.safetensors"))) > 1
    told = made(tmp_path / "model", path=str(copy))
    assert heard(tmp_path / "model", "whisper") == whole
    assert told["weights_sha256"] not in told["sha256"].values()


def test_an_old_whisper_gets_what_it_lacks(copy: Path, tmp_path: Path) -> None:
    before = heard(copy, "whisper")
    old = json.loads((copy / "generation_config.json").read_text())
    for key in ("no_timestamps_token_id", "lang_to_id", "task_to_id"):
        del old[key]
    write(copy / "generation_config.json", old | {"suppress_tokens": None, "num_beams": 5})
    made(tmp_path / "model", path=str(copy))
    assert heard(tmp_path / "model", "whisper") == before
    mended = json.loads((tmp_path / "model" / "generation_config.json").read_text())
    assert mended["lang_to_id"]["<|en|>"] == 50_259 and mended["max_length"] == old["max_length"]


def test_random_weights_for_any_architecture(whisper: Path, hubert: Path, tmp_path: Path) -> None:
    for source in (whisper, hubert):
        target = tmp_path / source.name
        told = made(target, path=str(source), weights="random")
        again = made(tmp_path / "again" / source.name, path=str(source), weights="random")
        assert told["weights"] == "random" and told["weights_sha256"] == again["weights_sha256"]
        assert told["parameters"] == made(tmp_path / "own" / source.name, path=str(source))["parameters"]
        ours, theirs = (load_file(path / "model.safetensors") for path in (target, source))
        assert ours.keys() == theirs.keys() and any(not torch.equal(ours[key], theirs[key]) for key in ours)
        # The record that weights are random is copied too.
        assert made(tmp_path / "copied" / source.name, path=str(target))["weights"] == "random"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: (f / "tokenizer.json").write_text("{}"),
            "its tokenizer or configuration is not that of a Whisper",
        ),
        (
            lambda f: (f / "tokenizer.json").write_text('{"added_tokens": []}'),
            r"tokenizer.json lacks <\|endoftext\|>: it is not the tokenizer of a Whisper model",
        ),
        (
            lambda f: edit(f / "generation_config.json", is_multilingual="no"),
            "generation_config.json: is_multilingual is",
        ),
        (lambda f: edit(f / "config.json", d_model=32), "config.json and the weights are of different models: model"),
        (lambda f: edit(f / "config.json", encoder_layers=50), r"weights that are missing: model.encoder.layers.1\."),
        (lambda f: edit(f / "config.json", decoder_layers=400), "config.json describes a model of .* parameters, and"),
        (lambda f: edit(f / "config.json", dropout="much"), r"the network in config.json cannot be built \("),
        (lambda f: edit(f / "preprocessor_config.json", sampling_rate=8000), "the model is for audio of 8000 Hz"),
        (
            lambda f: edit(f / "preprocessor_config.json", feature_size=128),
            "preprocessor_config.json gives feature_size",
        ),
        (
            lambda f: edit(f / "preprocessor_config.json", hop_length="x"),
            r"transformers [\d.]+ cannot load its files together \(.*; check that all belong to one model and one",
        ),
        (lambda f: lose(f, "model.decoder.layers.0.fc1.weight"), "weights that are missing: model.decoder"),
    ],
    ids=[
        *("tokenizer", "no tokens", "generation", "width", "layers", "many layers", "type", "rate", "mel bins"),
        *("features", "missing"),
    ],
)
def test_damaged_or_unknown_models_are_refused(damage: Any, message: str, copy: Path, tmp_path: Path) -> None:
    damage(copy)
    with pytest.raises(AsrmeterError, match=f"^mine: .*{message}") as caught:
        made(tmp_path / "model", path=str(copy))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / ".model") not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def lose(model: Path, name: str) -> None:
    tensors = load_file(model / "model.safetensors")
    save_file({key: tensors[key] for key in tensors if key != name}, model / "model.safetensors", {"format": "pt"})


def test_what_is_made_of_private_files_is_private(copy: Path, tmp_path: Path) -> None:
    (copy / "generation_config.json").unlink()
    made(tmp_path / "open", path=str(copy))
    for path in copy.iterdir():
        path.chmod(0o644)
    (copy / "tokenizer.json").chmod(0o600)
    for weights in ("local", "random"):
        target = tmp_path / weights
        told = made(target, path=str(copy), weights=weights)
        modes = {name: (target / name).stat().st_mode & 0o777 for name in told["sha256"]}
        own = {"generation_config.json", "model.safetensors"} if weights == "random" else {"generation_config.json"}
        assert modes == {name: 0o600 if name in {"tokenizer.json", *own} else 0o644 for name in modes}


def test_phonemes_are_told(hubert: Path, tmp_path: Path) -> None:
    assert "outputs" not in made(tmp_path / "letters", path=str(hubert))
    phonemes = Path(shutil.copytree(hubert, tmp_path / "phonemes"))
    write(phonemes / "tokenizer_config.json", {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"})
    assert made(tmp_path / "model", path=str(phonemes))["outputs"] == "phonemes"


def test_what_a_model_hears_is_told(whisper: Path, hubert: Path, tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {
        "whisper": {"path": str(whisper)},
        "whisper of one": {"path": str(whisper), "languages": ["ru"]},
        "letters": {"path": str(hubert)},
        "letters of one": {"path": str(hubert), "languages": ["fr"]},
        "random": {"path": str(hubert), "weights": "random"},
        "far": {"weights": "external", "languages": ["en", "ru"]},
        "nobody knows": {"weights": "external"},
    }
    told = {name: made(tmp_path / name, **own) for name, own in settings.items()}
    assert len(told.pop("whisper")["languages"]) == 99
    assert {name: (one["languages"], one["scripts"]) for name, one in told.items()} == {
        "whisper of one": (["ru"], None),
        "letters": (None, ["LATIN"]),
        "letters of one": (["fr"], ["LATIN"]),
        "random": (None, ["LATIN"]),
        "far": (["en", "ru"], None),
        "nobody knows": (None, None),
    }


def test_pickled_weights_are_not_opened(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(
        AsrmeterError, match=r"models.mine.path: .*copy has no safetensors file, and asrmeter does not open other"
    ):
        study_of(path=str(copy))


# The Hub


@pytest.fixture
def hub(whisper: Path, hubert: Path) -> Iterator[Hub]:
    def files(source: Path) -> dict[str, bytes | Path]:
        own: dict[str, bytes | Path] = {path.name: path for path in source.iterdir()}
        return own | {"pytorch_model.bin": b"pickle", "run.py": b"import os", "README.md": b"# A model"}

    pickled = {name: content for name, content in files(whisper).items() if name != "model.safetensors"}
    repos = [
        Repo("me/whisper", {OLDER: {"README.md": b"-"}, COMMIT: files(whisper)}),
        Repo("me/hubert", {COMMIT: files(hubert)}, gated=True),
        Repo("me/pickled", {COMMIT: pickled}),
    ]
    with Hub(repos, tokens={TOKEN: True, REFUSED: False}) as server:
        yield server


# The client retries for half a minute before it gives up; here it does not wait.
IMPATIENT = """
import runpy, sys
from huggingface_hub.utils import _http
_http.http_backoff.__kwdefaults__.update(base_wait_time=0.01, max_retries=2)
sys.argv = sys.argv[1:]
sys.path.insert(0, "scripts")
from asrmeter.common import log_progress
log_progress.INTERVAL_S = 0
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Prepare:
    """`prepare_model.py` in a process of its own, as the rule runs it."""

    def __init__(self, home: Path) -> None:
        self.home, self.output = home, home / "model"

    def __call__(
        self, hub: Hub, repo: str = "me/whisper", client: dict[str, Any] | None = None, **settings: Any
    ) -> str:
        """Run it; return its output, or "error: ..." if it failed."""
        settings = {"id": repo, "revision": COMMIT} | settings
        done = subprocess.run(
            [
                *(sys.executable, "-c", IMPATIENT, "scripts/prepare_model.py", "--model", "mine"),
                *("--settings", json.dumps(study_of(**settings).models["mine"].as_json()), "--seed", "42"),
                *("--downloads", str(self.home / "downloads"), "--output", str(self.output)),
            ],
            cwd=ROOT,
            env=hub.environment(self.home / "hf", **(client or {})) | {"ASRMETER_LOCK": str(self.home / "lock")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert TOKEN not in done.stderr and REFUSED not in done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == done.returncode, done.stderr
        assert self.output.exists() != bool(errors)
        return errors[0] if errors else done.stderr

    @property
    def provenance(self) -> dict[str, Any]:
        return json.loads((self.output / PROVENANCE).read_text())


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    return Prepare(tmp_path)


def test_hub_model_at_its_commit_whole_cut_off_and_offline(hub: Hub, prepare: Prepare, whisper: Path) -> None:
    hub.cut("*/model.safetensors", after=1000, times=FOREVER, reset=True)
    assert "me/whisper" in (said := prepare(hub)) and "complete files are kept" in said
    asked = {request.path for request in hub.requests}
    # No pickle, no code, and no other commit.
    assert not [path for path in asked if path.endswith((".bin", ".py", "README.md")) or OLDER in path]
    # They are fetched side by side: which ones were complete when the weights failed is chance.
    kept = {path.name for path in (prepare.home / "hf").rglob("snapshots/*/*")}
    assert kept and "model.safetensors" not in kept
    hub.mend()
    hub.requests.clear()
    prepare(hub)
    assert hub.asked("*/model.safetensors") and not [name for name in kept if hub.asked(f"*/{name}")]
    told = prepare.provenance
    assert (told["origin"], told["revision"], told["weights"]) == ("me/whisper", COMMIT, "pretrained")
    assert {path.name for path in prepare.output.iterdir()} == {*told["sha256"], PROVENANCE}
    assert heard(prepare.output, "whisper") == heard(whisper, "whisper")

    shutil.rmtree(prepare.output)
    hub.requests.clear()
    prepare(hub, client={"offline": True})
    assert prepare.provenance == told
    assert hub.requests == []


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_bytes_unlike_the_commit_are_refused_and_fetched_again(hub: Hub, prepare: Prepare, file: str) -> None:
    hub.corrupt(f"*/{file}")
    said = prepare(hub)
    assert f"me/whisper: {file} has the hash " in said and "the file is deleted; run again to download it again" in said
    hub.mend()
    prepare(hub)
    assert prepare.provenance["weights"] == "pretrained"


def test_damaged_cache_is_detected(hub: Hub, prepare: Prepare) -> None:
    prepare(hub)
    shutil.rmtree(prepare.output)
    (blob,) = (prepare.home / "hf").rglob("model.safetensors")
    content = bytearray(blob.read_bytes())
    content[-1] ^= 0xFF
    blob.resolve().write_bytes(content)
    assert "model.safetensors has the hash" in prepare(hub, client={"offline": True})
    prepare(hub)


def test_random_weights_fetch_no_others(hub: Hub, prepare: Prepare) -> None:
    prepare(hub, weights="random")
    assert prepare.provenance["weights"] == "random"
    assert not hub.asked("*/model.safetensors")


@pytest.mark.parametrize(
    ("repo", "settings", "client", "words"),
    [
        ("me/hubert", {}, {}, ["only signed-in accounts may read it", "https://huggingface.co/me/hubert", "HF_TOKEN"]),
        ("me/hubert", {}, {"token": REFUSED}, ["its terms are not accepted; open https://huggingface.co/me/hubert"]),
        ("me/whisper", {}, {"token": "hf_mistyped"}, ["the Hub refuses the token"]),
        ("me/nothing", {}, {}, ["the Hub does not have such a repository, or it is private"]),
        ("me/whisper", {"revision": "f" * 40}, {}, ["it does not have the revision ffff"]),
        ("me/whisper", {"revision": OLDER}, {}, ["me/whisper has no config.json"]),
        ("me/pickled", {}, {}, ["me/pickled has no model.safetensors", "asrmeter does not open other weights"]),
        ("me/whisper", {}, {"offline": True}, ["it is not in the cache, and HF_HUB_OFFLINE forbids asking the Hub"]),
    ],
    ids=["no token", "terms", "bad token", "no repository", "no commit", "no model", "pickle", "offline"],
)
def test_refusal_says_why_and_what_to_do(
    hub: Hub, prepare: Prepare, repo: str, settings: dict[str, Any], client: dict[str, Any], words: list[str]
) -> None:
    said = prepare(hub, repo, client, **settings)
    for word in words:
        assert word in said


def test_a_gated_model_with_a_token(hub: Hub, prepare: Prepare) -> None:
    said = prepare(hub, "me/hubert", {"token": TOKEN})
    # Progress is a line, not a bar.
    assert re.search(r"^\d+ of \d+ MB$", said, re.MULTILINE) and "\r" not in said
    assert prepare.provenance["family"] == "ctc"
    for path in prepare.home.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_no_network(hub: Hub, prepare: Prepare) -> None:
    with Hub() as gone:
        pass
    assert f"{gone.url} cannot be reached" in prepare(gone)
    hub.fail()
    assert "the Hub has an internal error (503)" in prepare(hub)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_disk(hub: Hub, prepare: Prepare) -> None:
    cache = prepare.home / "hf"
    cache.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(cache)], check=True)
    try:
        said = prepare(hub)
    finally:
        subprocess.run(["umount", str(cache)], check=True)
    assert "no space left on the disk" in said and "set HF_HOME to a folder on a larger one" in said


def test_what_the_study_pins(tmp_path: Path, whisper: Path) -> None:
    """The five models of the 2025 study are pinned by commits; where a hash is known, it is checked too."""
    known = catalogue.catalogue()
    for name in ("whisper-tiny", "whisper-base", "whisper-small", "whisper-medium", "wav2vec2-base-960h"):
        settings = ModelSettings(weights="hub")
        origin = catalogue.origin(name, settings)
        assert (origin.repo, origin.revision) == (known[name].hub["id"], known[name].hub["revision"])
        assert catalogue.archives(name, settings) == []
    assert known["whisper-small"].hub["sha256"].startswith("1d773488")
