"""What a cell is, and how it is measured: what its spec and its record have in common. Standard library only."""

from collections.abc import Sequence
from dataclasses import dataclass

from asrmeter.common.typed_json import JsonObject


@dataclass(frozen=True, kw_only=True)
class CellSettings:
    """What a cell is, and how it is measured.

    Attributes:
        weights: `pretrained` or `random`.
        outputs: what the model's tokens spell where that is not words.
        weights_sha256: of the weights file; of random ones too.
        check_cpu_s: CPU time of hashing weights and audio. It is not part of the start-up.
        model_key, corpus_key: fingerprints of what model folder and corpus were made of.
        options: the variant's options, as the study has them.
        protocol: version of the measuring protocol.
        n_timed_batches: how many batches the study wants timed.
        timed_batches: numbers of those that are.
        corpus_sha256: of the class' segments.
        stop_rule: the values of the protocol that end a cell.
    """

    model: str
    family: str
    weights: str
    outputs: str | None = None
    weights_sha256: str | None = None
    check_cpu_s: float | None = None
    model_key: str | None = None
    corpus_key: str | None = None
    variant: str
    options: JsonObject
    device: str
    duration_s: int
    batch_size: int
    threads: int
    seed: int
    protocol: int
    n_timed_batches: int | None = None
    corpus: str | None = None
    corpus_sha256: str | None = None
    timed_batches: Sequence[int] | None = None
    stop_rule: JsonObject | None = None
    energy_window_s: float | None = None
