"""Whisper's features without torch equal those of transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.base import UnsupportedError
from asrmeter.runtimes.families.whisper.log_mel import LogMel, mel_filters
from check import plain_ctranslate2
from helpers.model_folders import edit, write

# Float32 noise: what a sum of 400 products leaves, as a logarithm.
NOISE = 5e-5


def noise(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n).astype(np.float32) * 0.1 for n in lengths]


def theirs(n_mels: int, waveforms: list[np.ndarray], **how: Any) -> np.ndarray:
    extractor = transformers.WhisperFeatureExtractor(feature_size=n_mels)
    return extractor(waveforms, sampling_rate=16_000, return_tensors="np", **how)["input_features"]


@pytest.mark.parametrize("n_mels", [80, 128])
def test_filters_are_slaneys(n_mels: int) -> None:
    extractor = transformers.WhisperFeatureExtractor(feature_size=n_mels)
    np.testing.assert_allclose(mel_filters(n_mels, 400), extractor.mel_filters.T, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("lengths", [(1,), (159, 160, 161), (16_000, 81_234), (479_700, 479_900), (480_000, 500_000)])
def test_features_of_a_window(n_mels: int, lengths: tuple[int, ...]) -> None:
    own = LogMel(n_mels)(noise(*lengths))
    assert own.dtype == np.float32 and own.flags.c_contiguous and own.shape == (len(lengths), n_mels, 3000)
    np.testing.assert_allclose(own, theirs(n_mels, noise(*lengths)), rtol=0, atol=NOISE)


@pytest.mark.parametrize("lengths", [(960_000,), (480_159, 480_001), (700_000, 100_000, 699_999)])
def test_features_of_whole_waveforms(lengths: tuple[int, ...]) -> None:
    own = LogMel().whole(noise(*lengths))
    expected = theirs(80, noise(*lengths), padding="longest", truncation=False)
    assert own.shape == expected.shape
    np.testing.assert_allclose(own, expected, rtol=0, atol=NOISE)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_the_plain_loop_hears_the_same(n_mels: int) -> None:
    filters = plain_ctranslate2.filters(n_mels)
    plain = np.stack([plain_ctranslate2.log_mel(waveform, filters) for waveform in noise(16_000, 480_000)])
    assert plain.dtype == np.float32
    np.testing.assert_allclose(plain, LogMel(n_mels)(noise(16_000, 480_000)), rtol=0, atol=NOISE)


def test_silence_is_even() -> None:
    assert np.unique(LogMel()([np.zeros(16_000, np.float32)])).tolist() == pytest.approx([-1.5], abs=NOISE)


CONFIG = {"num_mel_bins": 128, "max_source_positions": 1500}


def folder_of(tmp_path: Path, **changes: Any) -> Path:
    transformers.WhisperFeatureExtractor(feature_size=128).save_pretrained(tmp_path)
    edit(tmp_path / "preprocessor_config.json", **changes)
    write(tmp_path / "config.json", CONFIG)
    return tmp_path


def test_settings_are_the_folders(tmp_path: Path) -> None:
    made = LogMel.of_folder(folder_of(tmp_path))
    assert (made.n_mels, made.hop, made.n_frames) == (128, 160, 3000)
    shared = {"feature_extractor": {"feature_size": 128}}
    (tmp_path / "preprocessor_config.json").unlink()
    write(tmp_path / "processor_config.json", shared)
    assert LogMel.of_folder(tmp_path).n_mels == 128
    (tmp_path / "processor_config.json").unlink()
    with pytest.raises(AsrmeterError, match=r"has no preprocessor_config\.json"):
        LogMel.of_folder(tmp_path)


@pytest.mark.parametrize(
    ("changes", "kind", "why"),
    [
        ({"sampling_rate": 8_000}, AsrmeterError, "the model is for audio of 8000 Hz"),
        ({"feature_size": 80}, AsrmeterError, "gives feature_size 80, and by config.json the model hears 128"),
        ({"chunk_length": 15}, AsrmeterError, "gives nb_max_frames 1500, and by config.json the model hears 3000"),
        ({"dither": 0.1}, UnsupportedError, "has dither 0.1, which only transformers does"),
    ],
)
def test_features_that_a_model_does_not_hear(
    tmp_path: Path, changes: dict[str, Any], kind: type[Exception], why: str
) -> None:
    with pytest.raises(kind, match=why):
        LogMel.of_folder(folder_of(tmp_path, **changes))
