"""Speech in many scripts, constructed: texts with errors, cells that made them, and their errors by language."""

from typing import Any

from asrmeter.analysis import languages_table
from asrmeter.analysis.cell_parts.languages import DETECTED, accuracy, error_unit
from asrmeter.analysis.normalised_text import basic, by_characters
from asrmeter.analysis.scoring import compare
from asrmeter.analysis.table_rows import CELL_KEY
from asrmeter.common.languages import has_spaces
from helpers.tables import Cell, cell

# What was said, and what a model made of it, by language. The last of each is of another one.
SPOKEN = {
    "ru": (
        "Конференция не может быть продлена, ваше время истекло.",
        "Конференция не может быть подлена, ваше время стекло ещё раз.",
        "The confidants can't be shy.",
    ),
    "ar": (
        "لا يمكن تمديد المؤتمر لأن الوقت قد انتهى في الساعة 12.",
        "لا يمكن تجديد المؤتمر لأن الوقت انتهى الآن في الساعة 12.",
        "The conference is over.",
    ),
    "he": (
        "לא ניתן להאריך את הוועידה, הזמן שלך נגמר.",
        "לא ניתן להעריך את הוועידה הזאת, הזמן נגמר.",
        "Лоника и хаарех.",
    ),
    "zh": (
        "会议不能延长，因为时间已经到了。" * 6,
        "会议不能严长，因为时间以经到了。" * 6,
        "The meeting can't be longer.",
    ),
    "ja": (
        "会議は延長できません。時間になりました。",
        "会議は延長出来ません。時間になりますた。",
        "会议不能延长。",
    ),
    "th": (
        "ไม่สามารถขยายเวลาการประชุมได้เพราะหมดเวลาแล้ว",
        "ไม่สามารถขยายเวลาการประชุมใด้เพราะหมดเวลา",
        "My samart kayai wela.",
    ),
    "hi": (
        "सम्मेलन को बढ़ाया नहीं जा सकता क्योंकि समय समाप्त हो गया है।",
        "सम्मेलन को बढ़ाया नहीं जा सकता क्योंकि समय खत्म हो गया।",
        "سمیلن کو بڑھایا نہیں جا سکتا",
    ),
    "en": ("Thank you 👍 and see you at five.", "Thank you 👍🏽 👨‍👩‍👧 and see you a five.", "Senk yu."),
}
N_SEGMENTS = 12
Tables = tuple[list[Cell], list[Cell], list[Cell]]


def tables(*codes: str, told: bool = True) -> Tables:
    """Return cells of two models, transcripts and errors by language of speech in these languages.

    Unless the language is `told`, the second model takes a part of the segments for English, and writes as it heard.
    """
    cells, transcripts = [], []
    for model, n_wrong in (("whisper-base", 0), ("whisper-tiny", 0 if told else 2)):
        at = cell(model, wer=0.1)
        own = [
            _transcript(at, code, told, f"{code}-{index}", is_wrong=index < n_wrong)
            for code in codes
            for index in range(N_SEGMENTS)
        ]
        n_words, n_errors = (sum(row[key] for row in own) for key in ("n_words", "n_errors"))
        wer = n_errors / n_words
        spoken = ", ".join(sorted(codes))
        cells.append(
            at
            | {"wer": wer, "wer_ci_low": 0.9 * wer, "wer_ci_high": 1.1 * wer, "wer_words": n_words}
            | {"n_segments": len(own), "normaliser": "asrmeter-basic 1", "error_unit": error_unit(codes)}
            | {"language": spoken, "language_told": spoken if told else DETECTED, "language_accuracy": accuracy(own)}
        )
        transcripts += own
    return cells, transcripts, languages_table.rows(transcripts)


def segments(transcripts: list[Cell]) -> dict[str, Any]:
    """Return the rows of the corpus by segment."""
    return {
        row["segment_id"]: {"segment_id": row["segment_id"], "audio_s": 30.0, "source": "prompts", "utterances": []}
        for row in transcripts
    }


def _transcript(at: Cell, code: str, told: bool, name: str, is_wrong: bool) -> Cell:
    said, usual, of_another = SPOKEN[code]
    heard = of_another if is_wrong else usual
    texts = {"reference_normalised": _normalised(said, code), "hypothesis_normalised": _normalised(heard, code)}
    return {
        **{key: at[key] for key in CELL_KEY},
        **{"segment_id": name, "audio_s": 30.0, "reference": said, "hypothesis": heard, **texts},
        **vars(compare(*texts.values(), spaces=has_spaces(code))),
        "language": code,
        "language_told": code if told else None,
        "language_found": None if told else "en" if is_wrong else code,
    }


def _normalised(text: str, code: str) -> str:
    words = basic(text, code, numbers=False)
    return words if has_spaces(code) else by_characters(words)
