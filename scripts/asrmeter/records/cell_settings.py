"""The settings of a cell that its spec and its record share. Standard library only."""

from dataclasses import dataclass

from asrmeter.common.typed_json import JsonObject


@dataclass(frozen=True, kw_only=True)
class CellSettings:
    """The settings of a cell.

    Attributes:
        weights: `pretrained` or `random`.
        outputs: what the model's tokens spell where that is not words.
        weights_sha256: of the weights file; of random ones too.
        check_cpu_s: CPU time of hashing weights and audio. It is not part of the start-up.
        model_key, corpus_key: fingerprints of what model folder and corpus were made of.
        conversion_key: fingerprint of what the variant's conversion made of the model; None where it has none.
        conversion: what that was: `format`, `conversion_s`, `bytes` and `versions` of packages.
        model_bytes: size on disk of what the runtime loads.
        options: the variant's options, as the study has them.
        protocol: version of the measuring protocol.
        lap: which time through the study this is, from 1; the study has `n_laps` of them.
        attempt: which try of a sitting this is, from 1: one that was disturbed is made again at the end of its lap.
        corpus_sha256: of the class' segments.
        target, max_passes, budget_s, minutes, energy_window_s: of the protocol, as the study has them.
        share_s: the seconds that each sitting would have if all had the same part of `minutes`.
    """

    model: str
    family: str
    weights: str
    outputs: str | None = None
    weights_sha256: str | None = None
    check_cpu_s: float | None = None
    model_key: str | None = None
    corpus_key: str | None = None
    conversion_key: str | None = None
    conversion: JsonObject | None = None
    model_bytes: int | None = None
    variant: str
    options: JsonObject
    device: str
    duration_s: int
    batch_size: int
    threads: int
    seed: int
    protocol: int
    lap: int = 1
    n_laps: int = 1
    attempt: int = 1
    corpus: str | None = None
    corpus_sha256: str | None = None
    target: float | None = None
    max_passes: int | None = None
    budget_s: float | None = None
    minutes: float | None = None
    share_s: float | None = None
    energy_window_s: float | None = None
