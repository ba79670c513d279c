"""What is not known of a setting, why, and what it takes to know it: by the figures of the study itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from asrmeter.analysis.requests import SHARES
from asrmeter.analysis.results import CellResult
from asrmeter.analysis.unmeasured import Setting, Unmeasured
from asrmeter.common.constants import LEAST_SEGMENTS
from asrmeter.common.order_statistics import least_n
from asrmeter.study.model import Study

_MINUTE_S = 60.0


class Why(StrEnum):
    """Why something is not known."""

    DISTURBED = "disturbed"
    FAILED = "failed"
    NOT_MEASURED = "not_measured"
    TOO_FEW_REQUESTS = "too_few_requests"
    NO_INTERVAL = "no_interval"
    NO_WER = "no_wer"
    NO_ENERGY = "no_energy"
    NO_CAPACITY = "no_capacity"


@dataclass(frozen=True)
class Needs:
    """What it takes to know something of one setting: minutes of its jobs, passes, and segments of its class.

    None is what it does not take, or what this study cannot say.
    """

    minutes: float | None = None
    passes: int | None = None
    segments: int | None = None


@dataclass(frozen=True)
class Unknown:
    """A setting that could be the answer if everything were known of it.

    `measure` is the key of the limit or the preference that is not known, None if it is everything. `detail` is the
    status with the reason, or what disturbed it. `command` is what to type before the study is run again, `key` the key
    of the study to change; both are None where neither would help.
    """

    cell: str
    model: str
    variant: str
    device: str
    duration_s: int
    batch_size: int
    why: Why
    detail: str | None = None
    measure: str | None = None
    needs: Needs | None = None
    command: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Remedies:
    """What it takes to know more; `settings` are all cells of the study, whose figures say how long that takes."""

    study: Study
    settings: Sequence[Setting]

    def unknown(self, setting: Setting, why: Why, measure: str | None) -> Unknown:
        """Return what is not known of a setting, with what it takes to know it."""
        needs, command, key = self._remedy(setting, why)
        return Unknown(
            cell=setting.cell,
            model=setting.model,
            variant=setting.variant,
            device=setting.device,
            duration_s=setting.duration_s,
            batch_size=setting.batch_size,
            why=why,
            detail=_detail(setting, why),
            measure=measure,
            needs=needs,
            command=command,
            key=key,
        )

    def _remedy(self, setting: Setting, why: Why) -> tuple[Needs | None, str | None, str | None]:
        if isinstance(setting, Unmeasured):
            again = Needs(minutes=_minutes(self._job_s(setting)))
            if why is Why.NOT_MEASURED:
                return again, self._delete(f"--machine {setting.elsewhere}") if setting.elsewhere else None, None
            return again, self._delete("--status failed"), "protocol.timeout_s" if setting.status == "timeout" else None
        if why is Why.DISTURBED:
            return Needs(minutes=_minutes(self._job_s(setting))), self._delete("--disturbed"), None
        if why is Why.TOO_FEW_REQUESTS:
            share = SHARES["p95"]
            n_batches = least_n(share)
            needs = Needs(self._minutes_for(setting, n_batches), n_batches, n_batches * setting.batch_size)
            return needs, None, self._segments_key
        if why is Why.NO_WER and setting.wer is not None and setting.n_segments < LEAST_SEGMENTS:
            n_batches = math.ceil(LEAST_SEGMENTS / setting.batch_size)
            return Needs(self._minutes_for(setting, n_batches), n_batches, LEAST_SEGMENTS), None, self._segments_key
        if why is Why.NO_INTERVAL and self.study.protocol.laps == 1:
            return Needs(minutes=self._minutes_of_a_lap), None, "protocol.laps"
        return None, None, None

    def _delete(self, filters: str) -> str:
        return f"python scripts/list_cells.py {self.study.results} {filters} --delete"

    @property
    def _segments_key(self) -> str:
        """The key that gives more segments; without a number of them it takes more speech."""
        return "corpus" if self.study.corpus.segments_per_class is None else "corpus.segments_per_class"

    def _job_s(self, setting: Setting) -> float | None:
        """Return how long the jobs of a setting take; of one that has no time of its own, the mean of its like."""
        if setting.effort.job_s is not None:
            return setting.effort.job_s
        place = setting.device, setting.duration_s
        timed = [one for one in self.settings if one.effort.job_s is not None]
        alike = [one for one in timed if (one.device, one.duration_s) == place]
        known = [one.effort.job_s for one in alike or timed if one.effort.job_s is not None]
        return sum(known) / len(known) if known else None

    def _minutes_for(self, result: CellResult, n_batches: int) -> float | None:
        """Return the minutes of a setting's jobs in which each of so many batches is passed once."""
        effort = result.effort
        if effort.job_s is None:
            return None
        # What is not timed (loading, warm-up) does not grow with the batches.
        timed_s = max(effort.timed_s or 0.0, n_batches * result.latency.value)
        return _minutes(effort.job_s - (effort.timed_s or 0.0) + timed_s)

    @property
    def _minutes_of_a_lap(self) -> float | None:
        """The minutes of one more lap of the whole study, as all cells take part in it."""
        known = [one.effort.job_s for one in self.settings if one.effort.job_s is not None]
        return _minutes(sum(known) / self.study.protocol.laps) if known else None


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / _MINUTE_S


def _detail(setting: Setting, why: Why) -> str | None:
    if isinstance(setting, Unmeasured):
        return ": ".join(filter(None, (setting.status, setting.reason))) if why is Why.FAILED else None
    details = {Why.DISTURBED: setting.disturbance, Why.NO_WER: setting.wer_note, Why.NO_ENERGY: setting.energy_method}
    return details.get(why) or None
