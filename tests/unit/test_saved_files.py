"""Files of saved models are what their names say, or are named before anything is loaded."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from asrmeter.common.errors import AsrmeterError
from asrmeter.models import catalogue, saved_files
from asrmeter.models.catalogue import ModelSettings
from asrmeter.models.pretrained import take
from asrmeter.models.tensors import read_header
from helpers.model_folders import edit, write

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 151061672\n"
TENSORS = {"a.weight": np.ones((2, 3), np.float32), "b": np.ones(4, np.float16), "c": np.zeros((), np.float64)}
WHISPER = {"model_type": "whisper", "encoder_layers": 2, "decoder_layers": 2}
CTC = {"model_type": "wav2vec2", "num_hidden_layers": 2}


def saved(folder: Path, config: dict[str, Any], *names: str) -> Path:
    """A folder with the files of a model, which hold next to nothing."""
    folder.mkdir(parents=True)
    write(folder / "config.json", config)
    for name in names:
        (folder / name).write_text("#version: 0.2\n" if name.endswith(".txt") else "{}")
    save_file(TENSORS, folder / "model.safetensors")
    return folder


@pytest.fixture
def whisper(tmp_path: Path) -> Path:
    return saved(tmp_path / "whisper", WHISPER, "tokenizer.json", "preprocessor_config.json")


@pytest.fixture
def ctc(tmp_path: Path) -> Path:
    return saved(tmp_path / "ctc", CTC, "vocab.json", "preprocessor_config.json")


def planned(folder: Path, **settings: Any) -> None:
    """Check a folder as a study is checked."""
    catalogue.check("mine", ModelSettings(path=str(folder), **settings))


def taken(folder: Path, target: Path, with_weights: bool = True) -> Path:
    """Take the files of a folder as its job does."""
    target.mkdir()
    take(catalogue.Origin(path=folder), with_weights, target)
    return target


def test_whole_folders_are_taken(whisper: Path, ctc: Path, tmp_path: Path) -> None:
    for folder in (whisper, ctc):
        planned(folder)
        copy = taken(folder, tmp_path / f"copy of {folder.name}")
        assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
            path.name: path.read_bytes() for path in folder.iterdir()
        }


# First bytes


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (
            "model.safetensors",
            LFS,
            "model.safetensors is a git-lfs pointer, not the file; fetch the file with git lfs pull",
        ),
        ("tokenizer.json", LFS, "tokenizer.json is a git-lfs pointer"),
        ("config.json", LFS, "config.json is a git-lfs pointer"),
        ("preprocessor_config.json", LFS, "preprocessor_config.json is a git-lfs pointer"),
        ("model.safetensors", "<!DOCTYPE html><html>", "model.safetensors is a web page; download the file itself"),
        ("tokenizer.json", "\n <html><body>404", "tokenizer.json is a web page"),
        ("model.safetensors", b"\x80\x02}q\x00", "model.safetensors is a pickle of Python"),
        ("model.safetensors", b"\x1f\x8b\x08\x00" + bytes(99), "model.safetensors is compressed by gzip; unpack it"),
        ("model.safetensors", "weights", "model.safetensors is text; fetch the file itself"),
        ("model.safetensors", b"", "model.safetensors is empty"),
        (
            "model.safetensors",
            b"\x07" * 100,
            "model.safetensors is not a safetensors file, or its beginning is damaged",
        ),
        ("config.json", "", "config.json is empty"),
        ("config.json", "{" * 50_000, "config.json is not JSON"),
        ("config.json", "[" * 50_000, "config.json is nested more than 64 levels deep"),
        ("config.json", '{"a": ' + "[" * 100 + "]" * 100 + "}", "config.json is nested more than 64 levels deep"),
        ("config.json", '{"model_type": "whisper"', "config.json is not JSON"),
        ("config.json", "[]", "config.json is not a JSON object"),
        ("config.json", '{"model_type": "whisper"}'.encode("utf-16"), "config.json is text in UTF-16"),
        ("config.json", b'{"model_type": "\xff"}', "config.json is not UTF-8 text: byte 16 is invalid"),
        ("config.json", '{"encoder_layers": 1' + "0" * 5000 + "}", "config.json is not JSON"),
    ],
)
def test_the_first_bytes_tell_what_a_file_is(whisper: Path, name: str, content: str | bytes, why: str) -> None:
    (whisper / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AsrmeterError) as caught:
        planned(whisper)
    said = str(caught.value)
    assert said.startswith(f"models.mine.path: {whisper}: {why}") and "\n" not in said


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("tokenizer.json", '{"added_tokens": [', "tokenizer.json is not JSON"),
        ("generation_config.json", "[]", "generation_config.json is not a JSON object"),
        ("generation_config.json", '{"a":' * 200 + "1" + "}" * 200, "generation_config.json is nested more than 64"),
        ("generation_config.json", '{"a":' * 60_000, "generation_config.json is n"),
        ("merges.txt", b"a b\n\xff\xfe", "merges.txt is not UTF-8 text: byte 4"),
    ],
)
def test_the_job_reads_descriptions_to_their_ends(
    whisper: Path, tmp_path: Path, name: str, content: str | bytes, why: str
) -> None:
    (whisper / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AsrmeterError, match=f"^{why}"):
        taken(whisper, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


# Safetensors


def test_a_header_says_what_the_library_wrote(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w", {"format": "pt"})
    assert read_header(tmp_path / "w", "w") == {
        "a.weight": ("F32", (2, 3)),
        "b": ("F16", (4,)),
        "c": ("F64", ()),
    }
    assert sum(tensor.n_numbers for tensor in read_header(tmp_path / "w", "w").values()) == 11


def with_header(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def one(**changes: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (save(TENSORS)[:-1], "is cut off: it has .* bytes, but "),
        (save(TENSORS)[:40], "is cut off"),
        (save(TENSORS) + b"x", "continues after its last tensor"),
        (with_header(one(), bytes(8), 2**63), "is not a safetensors file, or its beginning is damaged"),
        (with_header(one(dtype="F4"), bytes(8)), "w has the number format F4, which is unknown; save the model in"),
        (with_header(one(dtype=["F32"]), bytes(8)), "has a damaged header"),
        (with_header(one(shape=[3]), bytes(8)), "has a damaged header .*do not fit its shape"),
        (with_header(one(shape=[2.0]), bytes(8)), "has a damaged header"),
        (with_header(one(shape=[10**30]), bytes(8)), "has a damaged header"),
        (with_header(one(data_offsets=[8]), bytes(8)), "has a damaged header"),
        (with_header({"w": 1}), "has a damaged header"),
        (with_header(b'{"w":' + b"[" * 100_000), "has a damaged header"),
        (with_header(b'{"w":\xff}'), "has a damaged header"),
    ],
)
def test_damaged_weights_are_named(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(AsrmeterError, match=f"^model.safetensors:? {why}"):
        read_header(tmp_path / "w", "model.safetensors")


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_are_a_header_or_named(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes, at: int, value: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    changed = bytearray(save(TENSORS))
    changed[at % len(changed)] = value
    for content in (raw, with_header(raw), bytes(changed), bytes(changed[:at])):
        path.write_bytes(content)
        try:
            read_header(path, "w")
        except AsrmeterError as error:
            assert str(error).startswith("w") and "\n" not in str(error)


# Missing parts


@pytest.mark.parametrize(
    ("config", "names", "why"),
    [
        (WHISPER, ["preprocessor_config.json"], "lacks tokenizer.json (or vocab.json and merges.txt): copy it from"),
        (WHISPER, ["vocab.json", "preprocessor_config.json"], "lacks tokenizer.json (or vocab.json and merges.txt):"),
        (WHISPER, ["tokenizer.json"], "lacks preprocessor_config.json (or processor_config.json): copy it from the"),
        # Older ones of this name only say which classes a model has.
        (WHISPER, ["tokenizer.json", "processor_config.json"], "lacks preprocessor_config.json (or processor_config"),
        (
            WHISPER,
            [],
            "lacks tokenizer.json (or vocab.json and merges.txt) and preprocessor_config.json (or "
            "processor_config.json): copy them from the model that was fine-tuned",
        ),
        (CTC, ["vocab.json"], "lacks preprocessor_config.json (or processor_config.json): copy it from"),
        (CTC, ["preprocessor_config.json", "tokenizer_config.json"], "lacks vocab.json: copy it from the model that"),
    ],
)
@pytest.mark.parametrize("weights", ["local", "random"])
def test_missing_parts_are_named(
    tmp_path: Path, config: dict[str, Any], names: list[str], why: str, weights: str
) -> None:
    folder = saved(tmp_path / "checkpoint-500", config, *names)
    with pytest.raises(AsrmeterError) as caught:
        planned(folder, weights=weights)
    assert str(caught.value).startswith(f"models.mine.path: {folder}: {why}")
    with pytest.raises(AsrmeterError) as caught:
        taken(folder, tmp_path / "copy")
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize("names", [["vocab.json", "merges.txt", "preprocessor_config.json"], ["tokenizer.json"]])
def test_any_of_several_files_is_enough(tmp_path: Path, names: list[str]) -> None:
    folder = saved(tmp_path / "m", WHISPER, *names)
    write(folder / "processor_config.json", {"feature_extractor": {}})
    planned(folder)


def test_an_adapter_is_told(tmp_path: Path) -> None:
    folder = saved(tmp_path / "lora", CTC, "adapter_config.json")
    (folder / "config.json").unlink()
    with pytest.raises(
        AsrmeterError, match=r"has no config.json; it contains an adapter: merge it into its base model"
    ):
        planned(folder)


# Sizes


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (WHISPER | {"encoder_layers": 100_000}, "encoder_layers is 100,000, and no model has more than 500$"),
        (WHISPER | {"decoder_layers": 10**12}, "decoder_layers is 1,000,000,000,000, and"),
        (WHISPER | {"decoder_layers": "many"}, 'decoder_layers is "many", not a whole number'),
        (WHISPER | {"encoder_layers": -1}, "encoder_layers is -1, not a whole number"),
        (WHISPER | {"encoder_layers": 1e9}, "encoder_layers is 1000000000.0, not a whole number"),
        *((CTC | {key: 10**6}, f"{key} is 1,000,000") for key in ("num_hidden_layers", "num_adapter_layers")),
        (CTC | {"model_type": "data2vec-audio", "num_conv_pos_embeddings": 5000}, "num_conv_pos_embeddings is 5,000"),
        (WHISPER | {"d_model": 10**9}, "d_model is 1,000,000,000, and no model has more than 1,000,000$"),
        (WHISPER | {"vocab_size": 10**12}, "vocab_size is 1,000,000,000,000"),
        (WHISPER | {"d_model": True}, "d_model is true, not a whole number"),
        *((CTC | {key: 10**10}, f"{key} is 10,000,000,000") for key in ("hidden_size", "vocab_size")),
    ],
)
def test_absurd_sizes_are_refused_when_planning(whisper: Path, ctc: Path, config: dict[str, Any], why: str) -> None:
    folder = whisper if config["model_type"] == "whisper" else ctc
    write(folder / "config.json", config)
    for weights in ("local", "random"):
        with pytest.raises(AsrmeterError, match=f": config.json: {why}"):
            planned(folder, weights=weights)


# Files that lead elsewhere


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def linked(path: Path, target: str | Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def sparse(path: Path) -> None:
    with open(path, "wb") as stream:
        stream.truncate(2**40)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: linked(f / "vocab.json", "/etc/passwd"), "vocab.json leads out of the folder, to /etc/passwd; copy"),
        (lambda f: linked(f / "config.json", "/etc/passwd"), "config.json leads out of the folder"),
        (lambda f: linked(f / "normalizer.json", "../private"), "normalizer.json leads out of the folder, to "),
        (lambda f: linked(f / "model.safetensors", "../private"), "model.safetensors leads out of the folder"),
        (lambda f: linked(f / "normalizer.json", "/dev/zero"), "normalizer.json leads out of the folder"),
        (lambda f: linked(f / "normalizer.json", "normalizer.json"), "normalizer.json cannot be read"),
        (lambda f: linked(f / "normalizer.json", "gone"), "normalizer.json cannot be read: it is a broken link"),
        (lambda f: pipe(f / "normalizer.json"), "is a pipe, not a file"),
        (lambda f: pipe(f / "config.json"), "is a pipe, not a file"),
        (lambda f: pipe(f / "model.safetensors"), "is a pipe, not a file"),
        (lambda f: (f / "normalizer.json").mkdir(), "is a folder, not a file"),
        (lambda f: sparse(f / "normalizer.json"), "normalizer.json: has 1,099,512 MB, more than the 100 MB"),
        (lambda f: sparse(f / "config.json"), "config.json: has 1,099,512 MB"),
        (lambda f: sparse(f / "model.safetensors"), "model.safetensors is not a safetensors file"),
    ],
)
def test_only_regular_files_of_the_folder_are_opened(
    whisper: Path, tmp_path: Path, change: Callable[[Path], None], why: str
) -> None:
    (tmp_path / "private").write_text("{}")
    change(whisper)
    with pytest.raises(AsrmeterError) as caught:
        planned(whisper)
    assert why in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(AsrmeterError) as caught:
        taken(whisper, tmp_path / "copy")
    assert why in str(caught.value)
    assert list((tmp_path / "copy").iterdir()) == []


def test_links_within_a_folder_and_of_the_hubs_cache_are_taken(whisper: Path, tmp_path: Path) -> None:
    (whisper / "own").mkdir()
    (whisper / "tokenizer.json").rename(whisper / "own" / "t")
    (whisper / "tokenizer.json").symlink_to("own/t")
    (tmp_path / "place").symlink_to(whisper, target_is_directory=True)
    cache = tmp_path / "models--me--whisper"
    (cache / "blobs").mkdir(parents=True)
    snapshot, local = cache / "snapshots" / ("c0ffee" * 6 + "beef"), tmp_path / "local_dir"
    snapshot.mkdir(parents=True)
    local.mkdir()
    for number, path in enumerate(sorted(path for path in whisper.iterdir() if path.is_file())):
        blob = cache / "blobs" / f"{number:040x}"
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{blob.name}")
        (local / path.name).symlink_to(snapshot / path.name)
    for folder in (whisper, tmp_path / "place", snapshot, local):
        planned(folder)
        copy = taken(folder, tmp_path / f"copy of {folder.name}")
        assert not any(path.is_symlink() for path in copy.iterdir())
        assert (copy / "tokenizer.json").read_text() == "{}"
    # What only looks like a cache is none.
    for place in (tmp_path / "blobs" / ("0" * 40), cache / "blobs" / "private"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("{}")
        linked(local / "tokenizer.json", place)
        with pytest.raises(AsrmeterError, match=r"tokenizer.json leads out of the folder"):
            planned(local)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o604, 0o444, 0o777])
def test_a_copy_is_read_by_nobody_who_may_not_read_the_file(whisper: Path, tmp_path: Path, mode: int) -> None:
    for path in whisper.iterdir():
        path.chmod(mode)
    for path in taken(whisper, tmp_path / "copy").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600 | (mode & 0o044)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_a_copy_in_another_group_is_not_read_by_it(whisper: Path, tmp_path: Path) -> None:
    for path in whisper.iterdir():
        path.chmod(0o640)
        os.chown(path, -1, 12_345)
    assert {path.stat().st_mode & 0o777 for path in taken(whisper, tmp_path / "copy").iterdir()} == {0o600}


# Weights in parts


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ({}, "model.safetensors.index.json has no weight_map"),
        ({"weight_map": {"a": ["x"]}}, "model.safetensors.index.json has no weight_map"),
        ({"weight_map": {}}, "model.safetensors.index.json names no part, which is not in"),
        ({"weight_map": {"a": "../other.safetensors"}}, "model.safetensors.index.json names ../other.safetensors, wh"),
        ({"weight_map": {"a": "config.json"}}, "model.safetensors.index.json names config.json, which is not in"),
    ],
)
def test_an_index_names_parts_of_the_folder(whisper: Path, index: dict[str, Any], why: str) -> None:
    (whisper / "model.safetensors").rename(whisper / "model-00001-of-00001.safetensors")
    write(whisper / "model.safetensors.index.json", index)
    with pytest.raises(AsrmeterError) as caught:
        planned(whisper)
    assert f": {why}" in str(caught.value)
    edit(whisper / "model.safetensors.index.json", weight_map={"a": "model-00001-of-00001.safetensors"})
    planned(whisper)
    assert saved_files.SINGLE not in saved_files.in_folder(whisper, True)
