"""Whatever surrounds Snakemake: a run works, or one line says why not before anything is begun."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asrmeter.workflow import run_lock
from helpers.checkouts import Checkout, MakeCheckout, one_cell

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def _shared(make_checkout: MakeCheckout) -> Checkout:
    checkout = make_checkout("surroundings")
    checkout.write(one_cell())
    return checkout


@pytest.fixture
def checkout(_shared: Checkout) -> Iterator[Checkout]:
    yield _shared
    (_shared.results / "study.json").unlink(missing_ok=True)


def _odd(name: str, folder: Path) -> dict[str, str]:
    """Return variables of an environment, and make what they name in a folder."""
    if name == "other code first":
        (folder / "asrmeter").mkdir()
        (folder / "asrmeter" / "__init__.py").write_text("raise SystemExit('another asrmeter')")
        return {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(folder), "PYTHONNOUSERSITE": "1"}
    if name == "ASCII":
        return {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONWARNDEFAULTENCODING": "1"}
    if name == "nothing":
        # As under cron or systemd, and less.
        return {"PATH": "", "TMPDIR": "/gone", "HOME": "/gone", "LANG": "", "XDG_CACHE_HOME": str(folder)}
    assert name == "another Python first"
    (folder / "python").write_text("#!/bin/sh\necho the wrong Python >&2\nexit 1\n")
    (folder / "python").chmod(0o755)
    return {"PATH": os.pathsep.join((str(folder), "/usr/bin", "/bin"))}


@pytest.mark.parametrize("name", ["other code first", "ASCII", "nothing", "another Python first"])
def test_a_job_runs_in_any_environment(checkout: Checkout, tmp_path: Path, name: str) -> None:
    ran = checkout.run("results/study.json", **_odd(name, tmp_path))
    assert "the wrong Python" not in ran.output and "asrmeter/" not in "".join(
        line for line in ran.output.splitlines() if "EncodingWarning" in line
    )
    assert (checkout.results / "study.json").is_file()


def refused(checkout: Checkout, *arguments: str, **more: str) -> str:
    """Return the last line of a run that must be refused."""
    ran = checkout.run("results/study.json", *arguments, check=False, **more)
    assert ran.code == 1 and "Traceback" not in ran.output, ran.output
    assert not (checkout.results / "study.json").exists()
    return ran.output.splitlines()[-1]


def test_names_that_this_python_cannot_write_are_refused(checkout: Checkout, tmp_path: Path) -> None:
    scenarios = {"captions": {"description": "für mich"}}
    (checkout.folder / "odd.json").write_text(
        json.dumps(one_cell(report={"scenarios": scenarios}), ensure_ascii=False), encoding="utf-8"
    )
    said = refused(checkout, "--configfile", "odd.json", **_odd("ASCII", tmp_path))
    assert said.startswith(
        "error: odd.json: contains '\\xfc', and PYTHONUTF8 or the locale makes this Python read file names"
    )


def test_another_folder_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    said = f": run the same command in the checkout (cd {checkout.folder}), without -s "
    assert refused(checkout, "--directory", str(tmp_path)).startswith(f"error: Snakemake runs in {tmp_path}{said}")
    ran = checkout.shell(f"cd {tmp_path} && snakemake -n -s {checkout.folder}/Snakefile")
    assert ran.output.splitlines()[-1].startswith(f"error: Snakemake runs in {tmp_path}{said}") and ran.code == 1


def test_what_cannot_be_the_lock_is_told_before_any_job(checkout: Checkout, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    for dry in ((), ("--dry-run",)):
        said = refused(checkout, *dry, ASRMETER_LOCK=str(tmp_path / "lock"))
        assert said.startswith(
            f"error: {tmp_path / 'lock'}: the machine's lock is a pipe, not a file; delete it, or set"
        )


def test_one_run_at_a_time_works_in_a_results_folder(checkout: Checkout) -> None:
    with open(checkout.results / run_lock.FILE, "w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = refused(checkout)
        assert said.startswith(f"error: results/: another run is active here, process {os.getpid()} of ")
        # Who makes nothing may look, and unlock.
        assert checkout.plan("results/study.json") == {"study": 1}
        assert checkout.shell("snakemake --unlock").code == 0


def test_results_that_lead_nowhere_are_told(checkout: Checkout) -> None:
    (checkout.folder / "results-gone").symlink_to("nowhere")
    said = refused(checkout, "--config", "results=results-gone")
    assert said.startswith("error: results: results-gone is a broken link; give this study a folder of its own")


def test_a_python_without_pip_is_told_before_any_job(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['pip'] = None")
    archive = next(checkout.results.glob("downloads/*.whl"))
    with checkout.without(archive):
        wanted = str(archive.relative_to(checkout.folder))
        said = refused(checkout, wanted, PYTHONPATH=str(tmp_path))
        assert said.startswith("error: this Python lacks pip, which downloads packages; run ")
        assert not archive.exists()
