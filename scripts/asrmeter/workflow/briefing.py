"""The briefing before a run and after a dry run: speech, work, time, answers. Standard library only."""

import statistics
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from asrmeter.common.errors import AsrmeterError, few
from asrmeter.corpora import outlook
from asrmeter.corpora.outlook import Outlook
from asrmeter.records import answer_file, status
from asrmeter.workflow.announcement import approx_duration, count, unheard
from asrmeter.workflow.further import Further, further_of_jobs, in_words, time_in_words
from asrmeter.workflow.laps import PlannedJob
from asrmeter.workflow.purposes import unanswerable

if TYPE_CHECKING:
    from asrmeter.workflow.plan import Plan

# Time of all jobs that do not measure, on two cores, without downloads (a guess).
_GUESSED_S = {
    "download": 5,
    "corpus": 15,
    "model": 15,
    "converted": 20,
    "flops": 15,
    "profile": 10,
    "silence": 15,
    "ceilings": 8,
    "tables": 20,
}
# Time of a measurement besides its timed passes, before any was made (a guess).
_GUESSED_START_S = 6.0
# Enough to estimate the time of a measurement.
_MOST_RECORDS = 100


@dataclass(frozen=True)
class Briefing:
    """The briefing on a plan with known jobs."""

    plan: "Plan"
    jobs: Sequence[PlannedJob]

    def lines(self) -> list[str]:
        """Return the lines of the briefing; none if the requested targets need no measurement."""
        to_measure, done = self.plan.laps.sittings_of_jobs(self.jobs)
        if not to_measure and not done:
            return []
        if not to_measure:
            further = f"to do: {in_words(self._further)}, {time_in_words(self._further)}" if self._further else ""
            return [f"Measurements: all {len(done)} exist; {further or 'nothing is measured'}."]
        return [
            *_of_speech(self.plan, self._speech),
            *self._of_additions(set(to_measure.values())),
            *_of_refused(self.plan),
            *unheard(self.plan.study),
            f"Measurements: {self._of_work(len(to_measure), len(to_measure) + len(done))}.",
            f"Time: {self._of_time(list(to_measure.values()), len(to_measure) + len(done))}.",
            *_of_purposes(self.plan, self._speech),
        ]

    @cached_property
    def _speech(self) -> Outlook | None:
        """The future content of the corpus; None if it is unknown."""
        study, made = self.plan.study, self.plan.segments
        if made.is_current:
            return outlook.of_made(Path(made.output))
        return outlook.foresee(study.corpus, study.durations_s, study.seed, Path(made.output))

    @cached_property
    def _before(self) -> Outlook | None:
        """The earlier content of a corpus that this run makes again; None if there is none."""
        made = self.plan.segments
        return outlook.of_made(Path(made.output)) if made.is_stale else None

    @cached_property
    def _further(self) -> Collection[Further]:
        return further_of_jobs(self.plan, self.jobs).values()

    def _of_additions(self, to_measure: Collection[str]) -> Iterator[str]:
        """Yield lines on changes of the speech since the last run, and on the measurements that are kept."""
        if self._before is None or self._speech is None:
            return
        added = _not_in(self._before, self._speech)
        gone = _not_in(self._speech, self._before)
        changes = [
            f"{count(len(names), 'file')} {how} ({few(names)})"
            for names, how in ((added, "added"), (gone, "gone"))
            if names
        ]
        yield f"Since the last run: {', '.join(changes) or 'texts or files were changed'}."
        n_again = sum(Path(self.plan.laps.record(sitting)).exists() for sitting in to_measure)
        if n_again:
            yield (
                f"Kept: passes and transcripts of audio that stayed, in {count(n_again, 'measurement')}; only batches "
                "with other audio are measured. Tables and report are replaced; to keep the earlier ones, stop and "
                f"run python scripts/runs.py keep before {self.plan.results}"
            )

    @property
    def _part(self) -> float:
        """The share of new speech, 1 if it is unknown."""
        if self._before is None or self._speech is None or not self._speech.utterances:
            return 1.0
        return len(_not_in(self._before, self._speech)) / len(self._speech.utterances) or 1.0

    def _of_work(self, n: int, n_all: int) -> str:
        study = self.plan.study
        models = f"{count(len(study.models), 'model')} on {' and '.join(study.devices)}"
        cells = f"{count(len(self.plan.cells), 'cell')} (model, variant, device, duration, batch size)"
        what = f"{models}, {cells} in {count(study.protocol.laps, 'lap')}"
        work = f"{what}: {n_all}" if n == n_all else f"{what}: {n} of {n_all} to do, the others exist"
        return f"{work}; {in_words(self._further)}" if self._further else work

    def _of_time(self, to_measure: Sequence[str], n_all: int) -> str:
        protocol, n = self.plan.study.protocol, len(to_measure)
        rest = f"and about {approx_duration(self._rest_s())} for everything else (a guess, without downloads)"
        if self._further:
            rest = f"{time_in_words(self._further)} for {in_words(self._further)}, {rest}"
        started_s = list(_starts_s(Path(self.plan.laps.record(sitting)) for sitting in self.plan.laps.sittings))
        start_s = statistics.median(started_s) if started_s else _GUESSED_START_S
        if protocol.minutes is not None:
            share_s = 60 * protocol.minutes / n_all
            measuring_s = n * min(share_s, start_s + self._part * share_s)
            return f"about {approx_duration(measuring_s)} of measuring (protocol.minutes), {rest}"
        measuring_s = n * (self._part * (protocol.budget_s or 0) + start_s)
        known = f"starting each takes {start_s:.0f} s, {'as before' if started_s else 'a guess'}"
        return f"at least {approx_duration(measuring_s)} of measuring (protocol.budget_s; {known}), {rest}"

    def _rest_s(self) -> float:
        needed = (job.rule.partition("_")[0] for job in self.jobs if job.is_needed)
        return sum(_GUESSED_S.get(rule, 3) for rule in needed if rule not in ("measure", "layout", "load"))


def _not_in(one: Outlook, other: Outlook) -> list[str]:
    """Return the recordings of the second that are not in the first."""
    own = set(one.utterances)
    return [name for name in other.utterances if name not in own]


def _of_speech(plan: "Plan", speech: Outlook | None) -> Iterator[str]:
    corpus = plan.study.corpus
    if speech is None:
        yield f"Speech: {corpus.name} ({corpus.kind}); its amount is known only after download and decoding."
        return
    classes = ", ".join(f"{n} of {duration_s} s" for duration_s, n in speech.n_segments.items())
    texts = "" if speech.has_texts else "; no reference texts, so no WER"
    used = count(len(speech.utterances), "recording")
    yield f"Speech: {corpus.name} ({corpus.kind}), {used}; segments: {classes}{texts}."
    if empty := [duration_s for duration_s, n in speech.n_segments.items() if not n]:
        filled = [duration_s for duration_s, n in speech.n_segments.items() if n]
        classes = ", ".join(map(str, empty))
        yield f"This run will stop: no speech is long enough for {classes} s; write durations_s: {filled}."
    left_out = [f"{name} ({reason})" for name, reason in speech.left_out.items()]
    left_out += [f"{n} {reason}" for reason, n in speech.dropped.items()]
    if left_out:
        yield f"Left out: {few(left_out)}."


def _of_refused(plan: "Plan") -> Iterator[str]:
    """Yield lines on variants that cannot run here, each reason once."""
    whose: dict[tuple[str, str], list[str]] = {}
    for (model, variant, device), why in plan.refused.items():
        whose.setdefault((f"{variant} on {device}", why), []).append(model)
    for (what, why), models in whose.items():
        of = "" if len(models) == len(plan.study.models) else f" of {', '.join(models)}"
        yield f"Not possible here: {what}{of}: {why}."


def _of_purposes(plan: "Plan", speech: Outlook | None) -> Iterator[str]:
    missing = unanswerable(plan.study, speech)
    if answered := [name for name, reasons in missing.items() if not reasons]:
        unless = "" if speech else ", if there is enough speech"
        yield f"Can be answered{unless}: {', '.join(answered)}."
    for name, reasons in missing.items():
        if reasons:
            yield f"Cannot be answered: {name}, because {'; '.join(reasons)}."
    if plan.study.protocol.laps == 1:
        yield "No answer will be sure: intervals need two laps (protocol.laps: 2)."


def _starts_s(records: Iterable[Path]) -> Iterator[float]:
    """Yield the time of measurements besides their timed passes, in seconds."""
    from asrmeter.records.events import Latency

    for n, path in enumerate(path for path in records if path.exists()):
        header = status.header(path) if n < _MOST_RECORDS else None
        latency = header and header.last(Latency)
        if header and latency and header.job_s and latency.timed_s:
            yield header.job_s - latency.timed_s


def answer_of(plan: "Plan", jobs: Iterable[PlannedJob]) -> list[str]:
    """Return what the report answers and where it is; nothing if these jobs do not make it."""
    if not any(job.rule == "report" for job in jobs):
        return []
    try:
        return answer_file.lines(Path(plan.results))
    except AsrmeterError as error:
        # It was deleted, and the run ended well all the same.
        return [str(error)]
