"""Headers of records, made up."""

from typing import Any

from asrmeter.records.header import RecordHeader

FP32 = {"runtime": "transformers", "dtype": "float32", "attention": "sdpa"}


def header(**changes: Any) -> RecordHeader:
    """Return the header of a cell that went well; `changes` replace its values, as JSON has them."""
    told: dict[str, Any] = {"model": "m", "family": "whisper", "weights": "pretrained", "variant": "fp32"}
    told |= {"options": FP32, "device": "cpu", "duration_s": 5, "batch_size": 2, "threads": 2, "seed": 42}
    told |= {"protocol": 1, "status": "ok", "reason": None, "machine_id": "m", "cpu_name": "CPU", "n_cpus": 2}
    return RecordHeader.from_json(told | {"events": {}} | changes)
