"""A study of ten thousand cells under the cluster's profile."""

from pathlib import Path

import pytest

from checkouts import MakeCheckout, small

pytestmark = [pytest.mark.pipeline, pytest.mark.alone]


def test_ten_thousand_cells_are_planned_for_a_cluster_in_seconds(make_checkout: MakeCheckout, plugin: Path) -> None:
    models = ["whisper-tiny", "whisper-base", "whisper-small", "whisper-medium", "wav2vec2-base-960h"]
    checkout = make_checkout("ten-thousand")
    checkout.write(
        small(
            models={model: {"weights": "random"} for model in models},
            durations_s=list(range(1, 51)),
            batch_sizes=list(range(1, 41)),
        )
    )
    arguments = ("--dry-run", "--quiet", "rules", "--profile", "profiles/slurm")
    ran = checkout.run(*arguments, PYTHONPATH=str(plugin))
    print(f"10,000 cells under the SLURM profile: {ran.cpu_s:.1f} CPU s, {ran.wall_s:.1f} s")
    assert ran.jobs["measure_cpu"] == 10_001
    # 25 on a quiet machine of two cores; a busy neighbour costs caches and so CPU time.
    assert ran.cpu_s <= 40
