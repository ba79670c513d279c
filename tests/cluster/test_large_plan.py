"""A large study under the cluster's profile."""

from pathlib import Path

import pytest

from helpers.checkouts import MakeCheckout, large

pytestmark = pytest.mark.pipeline


def test_a_large_study_is_planned_for_a_cluster_about_as_fast(make_checkout: MakeCheckout, plugin: Path) -> None:
    checkout = make_checkout("large")
    checkout.write(large(10))
    here = checkout.run("--dry-run", "--quiet", "rules")
    there = checkout.run("--dry-run", "--quiet", "rules", "--profile", "profiles/slurm", PYTHONPATH=str(plugin))
    assert here.jobs["measure_cpu"] == there.jobs["measure_cpu"] == 2000
    assert there.cpu_s < 3 * here.cpu_s
