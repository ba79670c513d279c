"""The plan of a run: the jobs of a study, with their order, inputs and cluster resources."""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError, few
from asrmeter.common.typed_json import JsonObject
from asrmeter.machine.facts import machine_id
from asrmeter.machine.host import this_host
from asrmeter.measure import retries
from asrmeter.models import catalogue as models
from asrmeter.records import status
from asrmeter.sources import integrity, packages
from asrmeter.study import grid, ownership
from asrmeter.study.fingerprints import (
    Fingerprints,
    check_records,
    fingerprints_of,
    layout_options,
    load_options,
    measure_options,
    profile_options,
    recorded_fingerprint,
    settings_of_load,
    silence_options,
)
from asrmeter.study.grid import Cell, Sitting, search_s
from asrmeter.study.layouts import LayoutRun, layout_runs
from asrmeter.study.model import Study
from asrmeter.workflow import job_resources
from asrmeter.workflow.laps import Laps, Way, way_of

# Three matrices, and four times the largest working set.
MACHINE_PEAKS_MB = 8000


# The object that a job measures.
Planned = Cell | Sitting | LayoutRun


def _cell(of: Planned) -> Cell:
    return of if isinstance(of, Cell) else of.cell


@dataclass(frozen=True)
class MadeFolder:
    """A folder that a run makes: the file or folder that rules take as input, and the record of its sources."""

    output: str
    record: Path
    fingerprint: str | None

    @property
    def is_current(self) -> bool:
        """True if the folder exists and matches the study."""
        return recorded_fingerprint(self.record) == self.fingerprint

    @property
    def is_stale(self) -> bool:
        """True if the folder exists and does not match the study."""
        return recorded_fingerprint(self.record) not in (None, self.fingerprint)


@dataclass(frozen=True)
class Plan:
    """The jobs of a complete study. Paths are relative to the checkout, as rules name them.

    `on_cluster`: jobs run on other machines, which are unknown here. `own_packages`: jobs use the packages installed
    here instead of a separate environment for each rule.
    """

    study: Study
    on_cluster: bool = False
    own_packages: bool = False

    @property
    def results(self) -> str:
        """The results folder."""
        return self.study.results

    @property
    def corpus(self) -> str:
        """The corpus' name."""
        return self.study.corpus.name

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """The cells by id."""
        return {cell.id: cell for cell in grid.cells(self.study)}

    @cached_property
    def laps(self) -> Laps:
        """The laps in which the cells are measured."""
        return Laps(self.study, frozenset(self.refused))

    @cached_property
    def refused(self) -> dict[Way, str]:
        """Reasons why models cannot run here, if known beforehand. These models are not made or measured."""
        if self.on_cluster:
            return {}
        host = this_host()
        found: dict[Way, str] = {}
        for way in itertools.product(self.study.models, self.study.variants, self.study.devices):
            variant = self.study.variants[way[1]]
            family = models.family_name(way[0], self.study.models[way[0]])
            if why := variant.why_not(family, way[2], host) or self._lacking(way[1]):
                found[way] = why
        return found

    def _lacking(self, variant: str) -> str | None:
        """Return the message about missing packages of a variant, None if all are installed or other packages count."""
        if not self.own_packages:
            return None
        lacking = runtimes.missing_packages(self.saved["variants"][variant])
        return f"needs {', '.join(lacking)}, which is not installed; `make runtimes` installs it" if lacking else None

    @cached_property
    def converted(self) -> dict[str, MadeFolder]:
        """The converted folders for runtimes that cannot load safetensors, by model and format."""
        made = {}
        for name, fingerprint in self.fingerprints.conversions.items():
            folder = f"{self.results}/converted/{name}"
            made[name] = MadeFolder(folder, Path(folder, integrity.PROVENANCE), fingerprint)
        return made

    def conversion_of(self, of: Planned) -> str | None:
        """Return the key in `converted` of the cell's variant; None if it loads the model folder, or nothing."""
        cell = _cell(of)
        conversion = self.study.variants[cell.variant].conversion()
        if conversion is None or way_of(cell) in self.refused:
            return None
        return f"{cell.model}/{conversion.format}"

    def variant_to_convert(self, name: str) -> str:
        """Return the name of a variant that needs a converted folder."""
        return next(
            variant
            for variant, options in self.study.variants.items()
            if (conversion := options.conversion()) and conversion.format == name
        )

    def conversions_in(self, environment: str) -> list[str]:
        """Return the keys in `converted` of the variants in one environment."""
        needed = {
            name
            for cell in self.cells.values()
            if self.study.variants[cell.variant].environment == environment and (name := self.conversion_of(cell))
        }
        return sorted(needed)

    @cached_property
    def fingerprints(self) -> Fingerprints:
        """The expected fingerprints of model folders and corpus."""
        return fingerprints_of(self.study)

    @cached_property
    def models(self) -> dict[str, MadeFolder]:
        """The model folders by the model's name."""
        return {
            model: MadeFolder(folder := f"{self.results}/models/{model}", Path(folder, "provenance.json"), fingerprint)
            for model, fingerprint in self.fingerprints.models.items()
        }

    @cached_property
    def segments(self) -> MadeFolder:
        """The corpus' manifest."""
        folder = f"{self.results}/corpus/{self.corpus}"
        return MadeFolder(f"{folder}/segments.json", Path(folder, "selection.json"), self.fingerprints.corpus)

    @property
    def machine(self) -> str:
        """The folder name of the machine's peaks. The nodes of a cluster are not known beforehand."""
        return "cluster" if self.on_cluster else machine_id()

    @property
    def retries(self) -> int:
        """Number of retries of a measuring job by Snakemake. The last attempts record that the job died."""
        return retries.RETRIES if self.on_cluster else retries.MOST

    @property
    def timeout_s(self) -> int:
        """Seconds after which a worker is killed."""
        return int(self.study.protocol.timeout_s)

    @property
    def dtypes(self) -> list[str]:
        """The number formats of the machine's peaks."""
        asked = {variant.wanted_dtype for variant in self.study.variants.values() if variant.wanted_dtype}
        return sorted(asked) or ["float32"]

    def profiles(self) -> list[str]:
        """Return the ids of the cells whose operators are profiled."""
        return [cell.id for cell in grid.profiled(self.study)]

    @cached_property
    def hearings(self) -> dict[str, Cell]:
        """The silence records by their path below `silence/`, each with a cell of its model and variant.

        They cover all models and variants except random weights, whose output is meaningless, each on the first device
        on which it can run.
        """
        if not self.study.robustness.silence:
            return {}
        found: dict[str, Cell] = {}
        for cell in sorted(self.cells.values(), key=lambda cell: cell.batch_size):
            device = self._device_of(cell.model, cell.variant)
            if cell.device == device and self.study.models[cell.model].weights != "random":
                found.setdefault(f"{cell.model}/{cell.variant}/{device}", cell)
        return found

    def _device_of(self, model: str, variant: str) -> str:
        devices = self.study.devices
        return next((device for device in devices if (model, variant, device) not in self.refused), devices[0])

    def hearing(self, name: str) -> Cell:
        """Return the cell of a silence record, by the path of the record.

        Raises:
            AsrmeterError: the study has no such record.
        """
        if name not in self.hearings:
            raise AsrmeterError(
                f"{name} does not transcribe silence in the study {self.study.name}: this needs pretrained weights, "
                "the first device on which they run, and robustness.silence: true"
            )
        return self.hearings[name]

    @cached_property
    def load_tests(self) -> dict[str, Cell]:
        """The load tests by the path of their record below `load/`, each with the cell that represents it."""
        return {grid.way_id(tested): tested for tested in grid.load_tested(self.study)}

    def load_test(self, name: str) -> Cell:
        """Return the cell that represents a load test, by model, variant and device.

        Raises:
            AsrmeterError: the study has no such load test.
        """
        if name not in self.load_tests:
            raise AsrmeterError(
                f"{name} is not load-tested by the study {self.study.name}; add its model, variant and device to load"
            )
        return self.load_tests[name]

    def behind_load(self, tested: Cell) -> list[str]:
        """Return the records whose passes predict a load test."""
        cells = set(grid.behind_load(self.study, tested))
        return [self.laps.record(name) for name, sitting in self.laps.sittings.items() if sitting.cell in cells]

    def load_options(self, tested: Cell) -> list[str]:
        """Return the options of `measure_load.py` that a load test depends on."""
        return load_options(self.saved, tested, self.fingerprints) + self._refusal(tested)

    @property
    def load_settings(self) -> JsonObject:
        """The part of the study's `load` that decides a prediction."""
        return settings_of_load(self.saved)

    @property
    def load_timeout_s(self) -> int:
        """Seconds after which the worker of a load test is killed. Its search ends by itself long before."""
        return self.timeout_s + 2 * round(self.load_search_s)

    @property
    def load_search_s(self) -> float:
        """The time (s) of the search of a load test, 0 without load tests."""
        load = self.study.load
        return search_s(load.minutes, load.duration_s) if load else 0.0

    @property
    def load_minutes(self) -> int:
        """The time (min) of a load test's job."""
        return job_resources.minutes(self.load_timeout_s)

    @cached_property
    def layouts(self) -> dict[str, LayoutRun]:
        """The layouts in each lap, by id."""
        return {run.id: run for run in layout_runs(self.study)}

    def layout(self, name: str) -> LayoutRun:
        """Return a layout in a lap by its id.

        Raises:
            AsrmeterError: the study has no such layout, or no such lap.
        """
        if name not in self.layouts:
            raise AsrmeterError(
                f"{name} is not a layout of the study {self.study.name}; add it to layouts, or raise protocol.laps, "
                f"which is {self.study.protocol.laps}"
            )
        return self.layouts[name]

    def cell(self, name: str) -> Cell:
        """Return a cell by its id.

        Raises:
            AsrmeterError: the study has no such cell.
        """
        if name not in self.cells:
            raise AsrmeterError(
                f"{name} is not a cell of the study {self.study.name}; add its model, variant, device, duration or "
                "batch size"
            )
        return self.cells[name]

    def sitting(self, name: str) -> Sitting:
        """Return a sitting by its id.

        Raises:
            AsrmeterError: the study has no such cell, or no such lap.
        """
        if name not in self.laps.sittings:
            self.cell(name.rpartition("/")[0])
            raise AsrmeterError(
                f"{name} is not measured by the study {self.study.name}; raise protocol.laps, which is "
                f"{self.study.protocol.laps}"
            )
        return self.laps.sittings[name]

    @cached_property
    def saved(self) -> dict[str, Any]:
        """The study in the form of `study.json`."""
        return self.study.as_json()

    def measure_options(self, sitting: Sitting) -> list[str]:
        """Return the options of `measure.py` that a sitting depends on."""
        return measure_options(self.saved, sitting, self.fingerprints) + self._refusal(sitting.cell)

    def profile_options(self, cell: Cell) -> list[str]:
        """Return the options of `profile_operators.py` that a profile depends on."""
        return profile_options(self.saved, cell, self.fingerprints) + self._refusal(cell)

    def silence_options(self, cell: Cell) -> list[str]:
        """Return the options of `hear_silence.py` that what is heard depends on."""
        return silence_options(self.saved, cell, self.fingerprints) + self._refusal(cell)

    def layout_options(self, run: LayoutRun) -> list[str]:
        """Return the options of `measure_layout.py` that a layout in a lap depends on."""
        return layout_options(self.saved, run, self.fingerprints) + self._refusal(run.cell)

    def _refusal(self, cell: Cell) -> list[str]:
        why = self.refused.get(way_of(cell))
        return [f"--refused={why}"] if why else []

    def memory_mb(self, of: Planned, attempt: int) -> int:
        """Return the memory (MB) that a cell's job requests: twice as much from the second attempt on."""
        cell = _cell(of)
        audio_s = job_resources.batch_audio_s(cell.duration_s, cell.batch_size)
        settings = self.study.models[cell.model]
        once = job_resources.memory_mb(Path(self.results), cell.model, settings, cell.device, audio_s)
        processes = of.processes if isinstance(of, LayoutRun) else 1
        return min(attempt, retries.MOST) * processes * once

    def most_memory_mb(self, device: str, attempt: int) -> int:
        """Return the memory (MB) that is enough for any cell of a device."""
        return max(self.memory_mb(cell, attempt) for cell in self.cells.values() if cell.device == device)

    def measuring_resources(self) -> dict[str, Any]:
        """Return the resources of all measuring jobs. They do not influence the measurement."""
        return {
            "serial_slot": 1,
            # SLURM then gives the job a whole node. Other executors ignore it.
            "slurm_extra": "--exclusive",
            "timeout_s": self.timeout_s,
            # Only sittings read it, but every measuring job has it, because members of a group must agree on a text.
            "untracked": self.laps.untracked,
            "runtime": job_resources.minutes(self.timeout_s),
        }

    @cached_property
    def packages(self) -> dict[str, packages.Package]:
        """Every pinned package by name."""
        return packages.catalogue()

    def archives(self, names: list[str]) -> list[str]:
        """Return the downloaded archives of packages."""
        return [f"{self.results}/downloads/{self.packages[name].archive}" for name in names]

    def model_archives(self, model: str) -> list[str]:
        """Return the archives that a model folder is made from."""
        return self.archives(models.archives(model, self.study.models[model]))

    def corpus_archives(self) -> list[str]:
        """Return the archives that the corpus is made from."""
        return self.archives(self.study.corpus.archives())

    def stale_outputs(self) -> dict[str, str]:
        """Return the outputs of another study or version in the results folder: output of a rule -> path to delete."""
        stale = {}
        if ownership.load_saved(self.study) not in (None, self.study.as_json()):
            saved = f"{self.results}/{ownership.FILE}"
            stale[saved] = saved
        for made in (*self.models.values(), *self.converted.values(), self.segments):
            if made.is_stale:
                stale[made.output] = os.path.dirname(made.record)
        return stale

    def check_untracked(self, is_untracked: Callable[[str], bool]) -> None:
        """Refuse outputs of another study or version that Snakemake would reuse.

        Snakemake remembers how outputs were made and so makes stale ones again. `is_untracked` returns True for an
        existing file that Snakemake does not remember, for example because `.snakemake` was deleted.

        Raises:
            AsrmeterError: there are such outputs. The message says what to delete.
        """
        stale = dict.fromkeys(to_delete for path, to_delete in self.stale_outputs().items() if is_untracked(path))
        if stale:
            raise AsrmeterError(
                f"{few(list(stale))}: was made by another version or study, or from other sources, and .snakemake "
                "has no record of it; delete it and run again"
            )
        records = {
            Path(path): (sitting, status.header(Path(path)))
            for name, sitting in self.laps.sittings.items()
            if is_untracked(path := self.laps.record(name))
        }
        check_records(self.study, records, self.fingerprints)
