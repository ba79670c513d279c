"""What a cell asks a cluster for is more than it takes, and follows from the cell."""

from pathlib import Path

import pytest

from asrmeter.models.catalogue import ModelSettings
from asrmeter.workflow import job_resources

RANDOM = ModelSettings(weights="random")


# Peak resident memory (MB) of a pass with transformers and torch alone, measured on two cores: weights in float32.
@pytest.mark.parametrize(
    ("model", "duration_s", "batch_size", "peak_mb"),
    [
        ("wav2vec2-base-960h", 30, 1, 1234),
        ("wav2vec2-base-960h", 30, 4, 2641),
        ("wav2vec2-base-960h", 60, 1, 1703),
        ("whisper-tiny", 30, 8, 878),
        ("whisper-base", 30, 8, 1325),
        ("whisper-small", 30, 4, 2075),
    ],
)
def test_memory_is_more_than_was_ever_seen(
    model: str, duration_s: int, batch_size: int, peak_mb: int, tmp_path: Path
) -> None:
    asked = job_resources.memory_mb(tmp_path, model, RANDOM, "cpu", job_resources.batch_audio_s(duration_s, batch_size))
    assert 1.3 * peak_mb < asked < 8000


def test_memory_grows_with_model_batch_and_device(tmp_path: Path) -> None:
    def asked(model: str = "whisper-base", device: str = "cpu", audio_s: float = 30) -> int:
        return job_resources.memory_mb(tmp_path, model, RANDOM, device, audio_s)

    assert asked() < asked("whisper-medium")
    assert asked() < asked(audio_s=60)
    assert asked() < asked(device="cuda")


def test_weights_count_as_they_are_once_they_are_there(tmp_path: Path) -> None:
    settings = ModelSettings(id="me/mine", revision="0" * 40)
    unknown = job_resources.memory_mb(tmp_path, "mine", settings, "cpu", 30)
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(1000))
    assert job_resources.memory_mb(tmp_path, "mine", settings, "cpu", 30) < unknown - 10_000
    local = ModelSettings(path=str(folder))
    assert job_resources.memory_mb(tmp_path / "empty", "other", local, "cpu", 30) < unknown - 10_000


def test_time_is_more_than_the_time_out() -> None:
    assert job_resources.minutes(600) == 15
    assert 60 * job_resources.minutes(30) > 30
