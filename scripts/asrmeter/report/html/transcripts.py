"""The section of transcripts: references and hypotheses aligned, errors marked, the worst segments first.

What is aligned are words, and in languages that do not part them by spaces characters, which stand together again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import jiwer
from markupsafe import Markup

from asrmeter.analysis.results import n_errors
from asrmeter.analysis.table_rows import cell_name
from asrmeter.common.languages import has_spaces
from asrmeter.common.printable import printable
from asrmeter.common.table_types import Row
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import cell_link, display_name, number, shorten
from asrmeter.report.html.audio import Audio

# As many as anyone reads; transcripts.csv has all.
MOST_SEGMENTS, MOST_TEXTS = 40, 200
# Shown without a click: enough to see what the errors are like.
N_OPEN = 3
# What is right is cut to so many words, or characters, beside an error, in long texts.
_CONTEXT_WORDS, _CONTEXT_CHARACTERS = 8, 24
# Five minutes of speech. Of a longer text the beginning is shown; transcripts.csv has the whole.
_MOST_CHARACTERS = 5000


@dataclass(frozen=True)
class Run:
    """Words that belong together: `kind` is `equal`, `substitute`, `delete` or `insert`; either may be empty."""

    kind: str
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """What a model made of a segment, aligned with its reference, run by run as kind, reference and hypothesis.

    `gap` stands between two runs. `raw` is the text before normalisation, `language` the code of its language, "" where
    nobody knows it.
    """

    name: Markup
    cell: Markup
    errors: Markup
    runs: tuple[tuple[str, str, str], ...]
    gap: str
    raw: str
    language: str


@dataclass(frozen=True)
class Segment:
    """A segment with its reference and the texts of all models, the worst first; `audio` is there if asked for."""

    name: str
    title: Markup
    source: str
    reference: str
    language: str
    texts: tuple[Text, ...]
    audio: Audio
    is_open: bool


@dataclass(frozen=True)
class Transcripts:
    """The segments that are shown, and what is to be known of the others.

    `n_audio` is how many of them can be listened to, if not all can though the study asks for it.
    """

    segments: tuple[Segment, ...]
    note: Markup
    n_audio: int | None


def shown_first(transcripts: Iterable[Row]) -> dict[tuple[int, str], list[Row]]:
    """Return the rows of the segments that are shown, by duration class and segment, the worst first.

    Each model's text at its smallest batch, the worst of a segment first. A segment is as bad as its worst text, by its
    share of wrong words. Segments without an error come last, and those whose texts are withheld are left out.
    """
    smallest: dict[tuple[int, str], dict[tuple[str, str], Row]] = {}
    for row in sorted(transcripts, key=lambda row: (row["batch_size"], row["device"], row["model"], row["variant"])):
        if row["hypothesis"] is not None:
            of_segment = smallest.setdefault((row["duration_s"], row["segment_id"]), {})
            of_segment.setdefault((row["model"], row["variant"]), row)
    ranked = {key: sorted(rows.values(), key=lambda row: -_badness(row)) for key, rows in smallest.items()}
    worst_first = sorted(ranked.items(), key=lambda item: (-_badness(item[1][0]), item[0]))
    n_models = max(map(len, ranked.values()), default=1)
    return dict(worst_first[: max(1, min(MOST_SEGMENTS, MOST_TEXTS // n_models))])


def worst_segments(transcripts: Iterable[Row]) -> dict[tuple[int, str], list[Row]]:
    """Return the rows of the segments whose errors stand out: the first three that are shown, if they have errors."""
    shown = list(shown_first(transcripts).items())[:N_OPEN]
    return {key: rows for key, rows in shown if n_errors(rows[0])}


def transcripts_section(
    transcripts: Sequence[Row], segments: Mapping[str, Row], audio: Mapping[str, Audio] | None, words: Words
) -> Transcripts:
    """Return the transcripts for the page.

    `segments` are the rows of the corpus by their id, and `audio` that of those that can be listened to, None where
    nobody asked for any.
    """
    shown = shown_first(transcripts)
    heard = audio or {}
    n_audio = sum(bool(heard[name].uri) for _, name in shown if name in heard)
    n_all = len({(row["duration_s"], row["segment_id"]) for row in transcripts})
    some_withheld = any(row["hypothesis"] is None for row in transcripts)
    note = "withheld" if some_withheld else "shown"
    return Transcripts(
        tuple(
            _segment(name, rows, segments.get(name, {}), heard.get(name, Audio()), place < N_OPEN, words)
            for place, ((_, name), rows) in enumerate(shown.items())
        ),
        words["transcripts"][note].format(n=len(shown), total=n_all),
        None if audio is None or n_audio == len(shown) else n_audio,
    )


def aligned(reference: str, hypothesis: str) -> list[Run]:
    """Return the alignment of two normalised texts with the fewest errors, as the WER counts them."""
    ours, theirs = reference.split(), hypothesis.split()
    chunks = jiwer.process_words(reference, hypothesis).alignments[0]
    return [
        Run(
            chunk.type,
            tuple(ours[chunk.ref_start_idx : chunk.ref_end_idx]),
            tuple(theirs[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in chunks
    ]


def _segment(name: str, rows: Sequence[Row], known: Row, audio: Audio, is_open: bool, words: Words) -> Segment:
    say = words["transcripts"]
    worst = rows[0]
    return Segment(
        name=name,
        title=say["segment" if n_errors(worst) else "segment_clean"].format(
            name=name,
            model=display_name((worst["model"], worst["variant"])),
            errors=_errors(worst, words),
            duration=number(known["audio_s"]) if known else worst["duration_s"],
        ),
        source=_source(known),
        reference=printable(worst["reference"] or "", _MOST_CHARACTERS),
        language=worst["language"] or "",
        texts=tuple(_text(row, words) for row in rows),
        audio=audio,
        is_open=is_open,
    )


def _text(row: Row, words: Words) -> Text:
    spaced = has_spaces(row["language"])
    runs = aligned(row["reference_normalised"] or "", row["hypothesis_normalised"] or "")
    return Text(
        name=display_name((row["model"], row["variant"])),
        cell=cell_link(cell_name(row)),
        errors=_errors(row, words),
        runs=tuple(_shortened(runs, spaced)),
        gap=" " if spaced else "",
        raw=printable(row["hypothesis"] or "", _MOST_CHARACTERS),
        language=row["language_found"] or row["language"] or "",
    )


def _source(known: Row) -> str:
    """Return where a segment comes from: the source's name, and the recordings or files that it was made of."""
    if not known:
        return ""
    pieces = list(dict.fromkeys(utterance.rpartition(":")[0] or utterance for utterance in known["utterances"]))
    return shorten(", ".join(filter(None, (known["source"], *pieces))))


def _errors(row: Row, words: Words) -> Markup:
    key = "errors" if has_spaces(row["language"]) else "errors_in_characters"
    return words["transcripts"][key].format(errors=n_errors(row), n=row["n_words"])


def _badness(row: Row) -> float:
    return n_errors(row) / max(1, row["n_words"])


def _shortened(runs: Sequence[Run], spaced: bool) -> Iterable[tuple[str, str, str]]:
    """Yield the runs, what is right cut in its middle, and of a text that nobody reads to its end the beginning."""
    n_context, n_shown = _CONTEXT_WORDS if spaced else _CONTEXT_CHARACTERS, 0
    for run in runs:
        if n_shown > _MOST_CHARACTERS:
            yield "equal", "…", "…"
            return
        reference, hypothesis = run.reference, run.hypothesis
        if run.kind == "equal" and len(reference) > 2 * n_context:
            reference = hypothesis = (*reference[:n_context], "…", *reference[-n_context:])
        said, heard = (printable(_joined(words, spaced), _MOST_CHARACTERS) for words in (reference, hypothesis))
        n_shown += len(said) + len(heard)
        yield run.kind, said, heard


def _joined(words: Sequence[str], spaced: bool) -> str:
    """Return words as they are written: where characters are words, one after another but for runs of letters."""
    if spaced:
        return " ".join(words)
    parted = (
        f" {word}" if before and _is_in_run(before[-1]) and _is_in_run(word[0]) else word
        for before, word in pairwise(("", *words))
    )
    return "".join(parted)


def _is_in_run(letter: str) -> bool:
    """Whether a letter is of a word, such as a Latin one, or of a number, in a text whose characters are words."""
    return letter.isdecimal() or letter.lower() != letter.upper()
