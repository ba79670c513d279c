"""Speech in many scripts, constructed: texts with errors, cells that made them, and their errors by language."""

import unicodedata
from typing import Any

from asrmeter.analysis.scoring import compare
from asrmeter.common.languages import languages
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
    cells, transcripts, by_language = [], [], []
    units = {"words" if languages()[code].spaces else "characters" for code in codes}
    for model, n_wrong in (("whisper-base", 0), ("whisper-tiny", 0 if told else 2)):
        own: list[Cell] = []
        at = cell(model, wer=0.1)
        for code in codes:
            said, *heard = SPOKEN[code]
            of_language = [
                _transcript(at, code, told, f"{code}-{index}", said, heard[index < n_wrong])
                for index in range(N_SEGMENTS)
            ]
            own += of_language
            by_language.append({key: at[key] for key in ("model", "variant", "device", "duration_s", "batch_size")})
            by_language[-1] |= _rates(of_language) | {"language": code}
        one_unit = " and ".join(sorted(units, reverse=True))
        rates = _rates(own) | {"error_unit": one_unit, "language": ", ".join(sorted(codes))}
        rates |= {"language_told": rates["language"] if told else "detected", "wer_words": rates.pop("n_words")}
        cells.append(at | rates | {"normaliser": "whisper-basic 1"})
        transcripts += own
    return cells, transcripts, by_language


def segments(transcripts: list[Cell]) -> dict[str, Any]:
    """Return the rows of the corpus by segment."""
    return {
        row["segment_id"]: {"segment_id": row["segment_id"], "audio_s": 30.0, "source": "prompts", "utterances": []}
        for row in transcripts
    }


def normalised(text: str, code: str) -> str:
    """Return a text as it is scored: words, or characters with their marks, between spaces."""
    kept = "".join(sign for sign in text.lower() if unicodedata.category(sign)[0] != "P")
    if languages()[code].spaces:
        return " ".join(kept.split())
    clusters: list[str] = []
    for sign in kept.replace(" ", ""):
        if clusters and unicodedata.category(sign)[0] == "M":
            clusters[-1] += sign
        else:
            clusters.append(sign)
    return " ".join(clusters)


def _transcript(at: Cell, code: str, told: bool, name: str, said: str, heard: str) -> Cell:
    texts = {"reference_normalised": normalised(said, code), "hypothesis_normalised": normalised(heard, code)}
    counts = compare(*texts.values())
    return {
        **{key: at[key] for key in ("model", "variant", "device", "duration_s", "batch_size")},
        **{"segment_id": name, "audio_s": 30.0, "reference": said, "hypothesis": heard, **texts},
        **{key: getattr(counts, key) for key in ("n_words", "n_substitutions", "n_deletions", "n_insertions")},
        "language": code,
        "language_told": code if told else None,
        "language_found": None if told else "en" if heard == SPOKEN[code][-1] else code,
    }


def _rates(rows: list[Cell]) -> Cell:
    n_words, n_errors = (
        sum(sum(row[key] for key in keys) for row in rows)
        for keys in (("n_words",), ("n_substitutions", "n_deletions", "n_insertions"))
    )
    wer = n_errors / n_words
    found = [row["language_found"] == row["language"] for row in rows if row["language_found"]]
    code = rows[0]["language"]
    return {
        **{"n_segments": len(rows), "n_words": n_words, "wer": wer, "wer_ci_low": 0.9 * wer, "wer_ci_high": 1.1 * wer},
        **{"cer": 0.5 * wer, "cer_ci_low": 0.4 * wer, "cer_ci_high": 0.6 * wer},
        "error_unit": "words" if languages()[code].spaces else "characters",
        "language_accuracy": sum(found) / len(found) if found else None,
    }
