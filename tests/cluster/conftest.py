"""A SLURM cluster for the tests of this folder, and a checkout that runs on it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm import CPUS, GPU_MODEL, Cluster, missing

from helpers.checkouts import ROOT, Checkout, MakeCheckout

# What an administrator would change in the profile for this cluster: a line as it is -> as it becomes.
_SITE = {
    "  serial_slot: 1": "  serial_slot: 1\n  slurm_partition: main",
    "  measure_cuda: &gpu_node {}": f"  measure_cuda: &gpu_node {{slurm_partition: main, gpu_model: {GPU_MODEL}}}",
    "  measure_cpu: &cpu_node_cores 16": f"  measure_cpu: &cpu_node_cores {CPUS}",
    "  measure_cuda: &gpu_node_cores 16": f"  measure_cuda: &gpu_node_cores {CPUS}",
}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    if why := missing():
        pytest.skip(why)
    # Not below pytest's folder: the way to munge's socket has to be open, and short.
    with tempfile.TemporaryDirectory(prefix="asrmeter-slurm-") as folder:
        os.chmod(folder, 0o755)
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a cluster needs on top of the environment, for PYTHONPATH: other tests do without."""

    def locked(name: str) -> set[str]:
        return set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    folder = tmp_path_factory.mktemp("plugin")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    more = sorted(locked("slurm.lock") - locked("run.lock"))
    assert any("executor-plugin-slurm==" in pin for pin in more)
    subprocess.run([*command, *more], check=True, stdin=subprocess.DEVNULL, timeout=180)
    # It waits ten seconds longer each time that no job has ended, up to three minutes. Tests have no time for that.
    source = folder / "snakemake_executor_plugin_slurm" / "__init__.py"
    waits = "self.next_seconds_between_status_checks + 10"
    assert source.read_text().count(waits) == 1
    source.write_text(source.read_text().replace(waits, waits.replace("+ 10", "+ 0")))
    return folder


@pytest.fixture(scope="session")
def on_cluster(make_checkout: MakeCheckout, cluster: Cluster) -> Checkout:
    """A checkout whose profile knows this cluster."""
    checkout = make_checkout("on-cluster")
    set_up(checkout)
    return checkout


def set_up(checkout: Checkout) -> None:
    """Write the values of the site into a checkout's profile."""
    path = checkout.folder / "profiles" / "slurm" / "config.yaml"
    lines = path.read_text().splitlines()
    assert all(lines.count(line) == 1 for line in _SITE), path
    path.write_text("\n".join(_SITE.get(line, line) for line in lines) + "\n")
    assert shutil.which("sbatch")
