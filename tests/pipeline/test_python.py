"""Jobs run under the Python that runs Snakemake, whatever stands on PATH."""

import os
from pathlib import Path

import pytest

from helpers.checkouts import MakeCheckout, one_cell

pytestmark = pytest.mark.pipeline


def test_no_environment_has_to_be_activated(make_checkout: MakeCheckout, tmp_path: Path) -> None:
    checkout = make_checkout("bare-path")
    checkout.write(one_cell())
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho the wrong Python >&2\nexit 1\n")
    other.chmod(0o755)
    # As from cron or systemd, with another Python before those of the system.
    ran = checkout.run("results/study.json", PATH=os.pathsep.join((str(tmp_path), "/usr/bin", "/bin")))
    assert "the wrong Python" not in ran.output
    assert (checkout.results / "study.json").is_file()
