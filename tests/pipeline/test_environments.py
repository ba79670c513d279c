"""`--sdm conda`: each rule in an environment made of its file alone. For conda itself stands `conda/bin/conda`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest

from helpers.checkouts import CELLS, ROOT, Checkout, MakeCheckout, Ran, environment, link, one_cell
from tools.envs import FILES, OF_RUNTIMES, imports, listed, rules, scripts_of

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the environments are of Python 3.11"),
]
# Those of optional runtimes are large, and take no part in the study that is run here.
each = pytest.mark.parametrize("name", sorted({*FILES} - {*OF_RUNTIMES}))
WITH_CONDA = {"PATH": os.pathsep.join((f"{ROOT}/tests/pipeline/conda/bin", environment(Path())["PATH"]))}
# What a run without a network is denied.
WITH_INDEX = WITH_CONDA | {
    name: os.environ.get(name, "") for name in environment(Path()) if re.match("PIP_|.*_proxy", name, re.IGNORECASE)
}
STARTED = "started.txt"
# What Python runs at its start: it tells its environment and what it was asked to do.
_TELL = "import sys; open({file!r}, 'a').write(f'{name} {{\" \".join(sys.orig_argv[1:3])}}\\n')\n"


class Environments(NamedTuple):
    """A checkout, the Python of each environment in it, and what the run in them said."""

    checkout: Checkout
    python: dict[str, Path]
    ran: Ran

    def started(self) -> set[tuple[str, str]]:
        """The environments that Python was started in, each with a script or, after -m, a module that it was to run."""
        told = (self.checkout.folder / STARTED).read_text()
        return set(re.findall(r"^(\w+) (?:-m |(?:\S*/)?scripts/)?(\S+)", told, re.MULTILINE))


@pytest.fixture(scope="module")
def environments(
    make_checkout: MakeCheckout, downloads: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environments:
    """The environments are made where there is a network, and the study is run where there is none."""
    checkout = make_checkout("environments")
    checkout.write(one_cell(profile={"durations_s": [5]}))
    # One archive is still to be downloaded, from a folder that is an index for pip.
    wheel = next(path.name for path in downloads.iterdir() if path.suffix == ".whl")
    index = tmp_path_factory.mktemp("index")
    link(downloads / wheel, index / wheel)
    (checkout.results / "downloads" / wheel).unlink()

    made = checkout.shell("snakemake --cores 1 --sdm conda --conda-create-envs-only", limit_s=600, **WITH_INDEX)
    assert made.code == 0, made.output
    python = {}
    for file in (checkout.folder / ".snakemake" / "conda").glob("*.yaml"):
        name = next(name for name, path in FILES.items() if path.read_text() == file.read_text())
        python[name] = file.with_suffix("") / "bin" / "python"
        (site,) = file.with_suffix("").glob("lib/python*/site-packages")
        (site / "tell.pth").write_text(_TELL.format(file=str(checkout.folder / STARTED), name=name))
    command = "snakemake --sdm conda --cores all --resources gpu=1"
    ran = checkout.shell(command, limit_s=600, **WITH_CONDA, PIP_FIND_LINKS=str(index))
    assert ran.code == 0, ran.output
    return Environments(checkout, python, ran)


def test_a_run_with_conda_ends_with_a_report(environments: Environments) -> None:
    assert environments.checkout.measured == [f"{CELLS[0]}/lap1"]
    assert "whisper-tiny.en" in (environments.checkout.results / "report.html").read_text()
    assert environments.checkout.run("--dry-run", "--sdm", "conda", **WITH_CONDA).jobs == {}


def test_no_measurement_failed_for_want_of_a_package(environments: Environments) -> None:
    # That would be a row with a reason, and the report would be there all the same.
    def rows(table: str) -> list[dict[str, Any]]:
        return pq.read_table(environments.checkout.results / "tables" / f"{table}.parquet").to_pylist()

    (cell,) = rows("cells")
    assert cell["status"] in ("ok", "unconverged"), cell["reason"]
    assert all(cell[figure] is not None for figure in ("energy_j_per_sample", "wer", "gflop_per_sample"))
    for table in ("operators", "ceilings"):
        assert {row["status"] for row in rows(table)} == {"ok"}


def test_every_rule_runs_in_its_own_environment(environments: Environments) -> None:
    compared = environments.checkout.folder / "results-before"
    # The study has no variant for which anything is converted, and asks for no silence, load or layout: the environment
    # of those is the cell's, and a prediction's that of the tables.
    not_asked = ("converted", "silence_cpu", "predict_load", "load_cpu", "layout_cpu")
    checked = {name: rule for name, rule in rules().items() if name not in not_asked}
    shutil.copytree(environments.checkout.results, compared, copy_function=link)
    # What the run itself does not ask for.
    asked = ("--config", "compare={first: results-before, second: results}")
    environments.checkout.run("compare", "noise", *asked, "--sdm", "conda", **WITH_CONDA)
    assert set(environments.ran.jobs) - {"all"} | {"compare", "noise"} == set(checked)
    # The study has variants of the usual environment only.
    expected = {
        (name, script)
        for rule in checked.values()
        for name in rule.environments - {*OF_RUNTIMES}
        for script in rule.scripts
    }
    by_name = {(name, script) for name, script in environments.started() if script.endswith(".py")}
    assert by_name == expected
    assert ("measure", "asrmeter.measure.fork_server") in environments.started()


@each
def test_an_environment_is_what_its_file_lists_and_complete(environments: Environments, name: str) -> None:
    pinned = listed(FILES[name].read_text())
    # What an import needs beside is there too, in the versions that it asks for.
    importing = f"import {', '.join(sorted(imports(scripts_of(name), name)))}"
    versions = "import importlib.metadata as m, json, sys; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
    python = [str(environments.python[name]), "-I"]
    for command in (["-c", importing], ["-m", "pip", "check"], ["-c", versions, *pinned]):
        ran = subprocess.run([*python, *command], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr + ran.stdout
    # A local label such as +cpu names one build of torch.
    assert {package: version.split("+")[0] for package, version in json.loads(ran.stdout).items()} == pinned


def test_environment_without_a_needed_package_fails_by_name(environments: Environments) -> None:
    checkout = environments.checkout

    def without(text: str) -> str:
        return re.sub(r" +- jinja2==.*\n", "", text)

    with checkout.changed("envs/report.yaml", without):
        ran = checkout.run("--sdm", "conda", check=False, limit_s=400, **WITH_INDEX)
    assert ran.code == 1
    assert ran.jobs == {"figures": 1, "report": 1, "all": 1}
    assert "ModuleNotFoundError: No module named 'jinja2'" in ran.output
