"""Let a model and variant transcribe clips without speech, and write one row for each clip.

If the model cannot run, the rows say why. While the worker runs, this process sleeps in the kernel. Until then it
imports only the standard library.
"""

import argparse
import datetime
import os
import sys

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.common import typed_json
from asrmeter.common.vocabulary import PHONEMES
from asrmeter.corpora import silence
from asrmeter.machine.facts import machine_id
from asrmeter.measure import cell_options
from asrmeter.measure.job import Job, run_job
from asrmeter.measure.spec import SilenceSpec
from asrmeter.measure.supervisor import Outcome
from asrmeter.sources import integrity
from asrmeter.workflow.cli import run


class SilenceJob(Job):
    """Lets a model and variant transcribe clips without speech."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__((args.output,), args.attempt, args.timeout_s)
        self._args = args

    def prepare(self) -> SilenceSpec:
        """Return the spec: the clips, with the corpus' own recordings last because they may be many, and the model."""
        args = self._args
        silent, told = integrity.check_silent(args.segments, args.corpus_key)
        clips = [*silence.MADE, *silence.recordings(silent, args.segments.parent)]
        self._spec = SilenceSpec(
            **cell_options.specify_variant(args),
            duration_s=silence.LONGEST_S,
            batch_size=1,
            clips=[vars(clip) for clip in clips],
            language_told=told,
        )
        return self._spec

    def refusal(self) -> tuple[str, str] | None:
        """Refuse a model that cannot run here, or whose tokens are not words: its output cannot be read as text."""
        if self._spec.refused:
            return "unsupported", self._spec.refused
        if self._spec.outputs == PHONEMES:
            return "unsupported", "its tokens spell phonemes, not words"
        return None

    def write(self, outcome: Outcome) -> str:
        """Write the rows."""
        import pyarrow as pa

        from asrmeter.common import parquet
        from asrmeter.records.events import Heard, Ready
        from asrmeter.records.silence_rows import RECORD, SilenceHeader, rows_of

        spec, told = self._spec, vars(self._spec)
        who = {name: told[name] for name in ("model", "variant", "device")}
        ended = {"status": outcome.status, "reason": outcome.reason}
        rows = rows_of(who, spec.clips, spec.language_told, ended, outcome.events)
        ready = outcome.by_name.get(Ready.name)
        of_run = {
            "silence_version": spec.protocol,
            "machine_id": machine_id(),
            "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **({"decoding": ready.decoding, "versions": ready.versions} if isinstance(ready, Ready) else {}),
        }
        header = typed_json.from_json(SilenceHeader, told | of_run)
        parquet.save(self.output, pa.Table.from_pylist(rows, schema=RECORD), vars(header))
        heard = outcome.of_kind(Heard)
        said = f"text in {sum(any(map(str.isalnum, one.text)) for one in heard)} of {len(heard)} clips"
        return said if outcome.status == "ok" else f"{outcome.status}: {outcome.reason}; {said}"


def main(argv: list[str] | None = None) -> None:
    """Read the command line, transcribe the clips and write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    cell_options.add_variant_arguments(parser)
    run_job(SilenceJob(parser.parse_args(argv)))


if __name__ == "__main__":
    run(main, measures=True)
