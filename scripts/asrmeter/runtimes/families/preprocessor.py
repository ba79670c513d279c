"""What a model folder says of its feature extractor, and what must be so. Standard library only."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError


def settings_of(folder: Path) -> Mapping[str, Any]:
    """Return the settings of a folder's feature extractor, which are part of processor_config.json in some.

    Raises:
        AsrmeterError: the folder has neither.
    """
    own, shared = folder / "preprocessor_config.json", folder / "processor_config.json"
    if own.is_file():
        settings: Mapping[str, Any] = json.loads(own.read_text(encoding="utf-8"))
        return settings
    if shared.is_file():
        part: Mapping[str, Any] = json.loads(shared.read_text(encoding="utf-8")).get("feature_extractor") or {}
        return part
    raise AsrmeterError(f"{folder}: has no preprocessor_config.json, which says what the model hears")


def check_sampling_rate(folder: Path, rate_hz: int) -> None:
    """Raise AsrmeterError unless the model is for audio of the rate of the segments."""
    if rate_hz != SAMPLE_RATE_HZ:
        raise AsrmeterError(
            f"{folder}: the model is for audio of {rate_hz} Hz; asrmeter's audio has {SAMPLE_RATE_HZ} Hz"
        )
