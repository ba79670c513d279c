"""Errors that were counted by hand, normalisers that have a name, failed decodings that are called so."""

import io
import json
import random
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jiwer
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tables import PASSES, SEGMENTS, STUDY, a_header, a_pass
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

import make_tables
from asrmeter.analysis import cells_table, columns, normalisers
from asrmeter.analysis.normalisers import NORMALISERS, PLAIN, Normaliser
from asrmeter.analysis.scoring import compare, is_empty, is_hallucinated, repeats_itself
from asrmeter.common import parquet
from asrmeter.common.printable import spoken
from asrmeter.common.vocabulary import ENDINGS, OF_CORPUS, Errors
from asrmeter.records import cell_record
from asrmeter.records.flops_rows import FLOPS
from asrmeter.records.header import Segment
from asrmeter.sources.packages import Archives, Package, catalogue

PROSE = (
    "And so, my fellow Americans, ask not what your country can do for you; ask what you can do for your country. "
    "He began a confused complaint against the wizard who had vanished behind the curtain on the left, turned sharply "
    "and faced the others across the table. Unless to be rather cold-hearted and rather selfish is to be ill-disposed, "
    "he was not an ill-disposed young man: had he married a more amiable woman, he might have been made still more "
    "respectable than he was. From fairest creatures we desire increase, that thereby beauty's rose might never die, "
    "but as the riper should by time decease, his tender heir might bear his memory. Pity the world, or else this "
    "glutton be, to eat the world's due, by the grave and thee. Now that the long pause is over, the recording goes on "
    "with different words, spoken slowly and somewhat lower, until there is nothing left that anyone wanted to say."
)


@pytest.fixture
def archives(tmp_path: Path) -> Archives:
    return spelling_archives(tmp_path)


def spelling_archives(tmp_path: Path) -> Archives:
    """Return an archive of a spelling table, as the pinned one has it, of two words."""
    table = json.dumps({"colour": "color", "grey": "gray"}).encode()
    pinned = catalogue()["openai-whisper"]
    with tarfile.open(tmp_path / pinned.archive, "w:gz") as sdist:
        entry = tarfile.TarInfo(f"{pinned.archive.removesuffix('.tar.gz')}/whisper/normalizers/english.json")
        entry.size = len(table)
        sdist.addfile(entry, io.BytesIO(table))
    digest = sha256((tmp_path / pinned.archive).read_bytes()).hexdigest()
    return Archives(tmp_path, {pinned.name: Package(pinned.name, pinned.version, pinned.archive, digest)})


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        #             words: n, errors, S, D, I; characters: n, errors
        ("a b c", "a b c", Errors(3, 0, 0, 0, 0, 5, 0)),
        ("a b c", "a x c d", Errors(3, 2, 1, 0, 1, 5, 3)),  # x for b, and " d"
        ("the cat sat", "the bat", Errors(3, 2, 1, 1, 0, 11, 5)),  # b for c, without " sat"
        ("ice cream", "icecream", Errors(2, 2, 1, 1, 0, 9, 1)),  # a space is a character
        ("a b c", "", Errors(3, 3, 0, 3, 0, 5, 5)),
        ("", "a b", Errors(0, 2, 0, 0, 2, 0, 3)),
        ("", "", Errors(0, 0, 0, 0, 0, 0, 0)),
    ],
)
def test_errors_are_those_that_a_hand_counts(reference: str, hypothesis: str, expected: Errors) -> None:
    assert compare(reference, hypothesis) == expected


def test_sums_over_segments_are_the_corpus_level_rates_of_jiwer() -> None:
    dice = random.Random(1)
    references = [" ".join(dice.choices(["a", "bb", "ccc", "dddd"], k=dice.randint(1, 12))) for _ in range(50)]
    hypotheses = [
        " ".join(w for w in text.split() if dice.random() > 0.2) + " bb" * dice.randint(0, 1) for text in references
    ]
    found = [compare(*pair) for pair in zip(references, hypotheses, strict=True)]
    rate = sum(errors.n_errors for errors in found) / sum(errors.n_words for errors in found)
    assert rate == pytest.approx(jiwer.wer(references, hypotheses))
    rate = sum(errors.n_character_errors for errors in found) / sum(errors.n_characters for errors in found)
    assert rate == pytest.approx(jiwer.cer(references, hypotheses))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don’t — stop,  NOW! It's 5 o'clock.", "don't stop now it's 5 o'clock"),
        ("'Tis \"quoted\" and 'quoted', a ' b", "tis quoted and quoted a b"),
        ("cafe\u0301", "caf\u00e9"),
        ("self-substantial", "self substantial"),
        ("... ♪ —", ""),
    ],
)
def test_the_plain_normaliser_leaves_words_and_their_spelling(text: str, expected: str) -> None:
    assert PLAIN(text) == PLAIN(expected) == expected


def test_whisper_normaliser_has_numbers_contractions_spelling(archives: Archives) -> None:
    normalise = normalisers.whisper_english(archives)
    assert normalise("Um, Mr. Grey's COLOUR isn't [noise] twenty-five.") == "mister gray is color is not 25"


# Number words, signs of numbers and brackets, beside any character there is.
ODD_TEXT = st.lists(
    st.sampled_from(
        ["one", "twenty", "-", "+", "double", "point", "million", "$", "¢", "%", "1", "½", "²", "١", "1st", "and"]
    )
    | st.sampled_from(
        ["(", ")", "[", ">", " ", "\n", "'", "’s", "\u202e", "\ud83d", "\0", "\x1b", "mr.", "o", "per", "cent"]
    )
    | st.text(st.characters(), max_size=5),
    max_size=12,
).flatmap(lambda pieces: st.sampled_from([" ".join(pieces), "".join(pieces)]))


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Normaliser:
    return normalisers.whisper_english(spelling_archives(tmp_path_factory.mktemp("archives")))


@given(ODD_TEXT, ODD_TEXT)
def test_any_texts_are_scored(english: Normaliser, reference: str, hypothesis: str) -> None:
    kinds = {"": english, "_plain": PLAIN, "_corpus": Normaliser("o", "1", normalisers.gigaspeech_text.official)}
    segment: Segment = {"segment_id": "s", "audio_s": 1.0, "text": reference}
    row = cells_table._scored(segment, hypothesis, lambda _: kinds)
    assert all(row[f"n_errors{ending}"] >= 0 for ending in kinds)
    pa.Table.from_pylist([row], schema=columns.TRANSCRIPTS.remove(0))
    assert not any("\x1b" in value or "\u202e" in value for value in row.values() if isinstance(value, str))


@given(ODD_TEXT)
def test_the_normaliser_is_the_one_of_its_authors(english: Normaliser, text: str) -> None:
    theirs = EnglishTextNormalizer({"colour": "color", "grey": "gray"})
    text = spoken(text)
    try:
        expected = theirs(text)
    except Exception:
        return
    assert english(text).split() == expected.split()


@pytest.mark.parametrize(
    ("reference", "hypothesis", "errors", "is_usual"),
    [
        ("call " + "1" * 5000, "call " + "1" * 5000, (2, 0), False),
        ("call " + "1" * 5000, "call one", (2, 1), False),
        ("call twenty one", "call " + "9" * 10**6, (3, 2), False),
        ("call 911", "call nine one one", (2, 0), True),
        ("-", "yes", (0, 1), True),
        ("yes", "- + $ ( [", (1, 1), True),
        ("\u200f\u202b\u0634\u0643\u0631\u0627\u202c", "\u0634\u0643\u0631\u0627", (1, 0), True),
        ("hello\ufeff \x1b there\0", "hello there", (2, 0), True),
        ("hello", "hell\ud83d", (1, 1), True),
        ("hello", "<" * 90_000, (1, 1), True),
        ("hello", "(" * 50_000 + " hello", (1, 0), True),
        ("hello", " " * 10**6 + "hello", (1, 0), True),
        ("hello " * 20_000, "hello " * 20_000, (20_000, 0), False),
    ],
)
def test_odd_texts_are_scored_and_the_note_says_how(
    english: Normaliser, reference: str, hypothesis: str, errors: tuple[int, int], is_usual: bool
) -> None:
    *texts, note = english.pair(reference, hypothesis)
    found = compare(*texts)
    assert (found.n_words, found.n_errors) == errors
    assert (note is None) is is_usual


def test_a_segment_that_no_normaliser_reads_spoils_no_other(
    measured: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits, control = "1" * 5000, "five\x1b[31m \u202esix"
    passes = [a_pass(1.0, ["a", "b"], [digits, "four"]), a_pass(1.0, ["c", "a"], [control, digits]) | {"batch": 1}]
    cell_record.write(measured / "whisper-base/fp32/cpu/5s-b2/lap1.parquet", a_header("whisper-base"), passes)
    made = collected(measured, archives, monkeypatch)
    (cell,) = (cell for cell in made["cells"] if cell["weights"] != "random")
    assert cell["wer_note"] == "1 of 3 segments (a): whisper-english: scored without reading numbers (ValueError)"
    # "one two three" is three words without numbers, and the digits are one; "123", "4", "56" otherwise.
    assert cell["wer"] is not None and cell["wer_words"] == 3 + 1 + 1
    rows = {row["segment_id"]: row for row in made["transcripts"]}
    assert rows["a"]["n_errors"] == 3 and rows["b"]["n_errors"] == 0
    assert [bool(rows[name]["scoring_note"]) for name in "abc"] == [True, False, False]
    assert rows["c"]["hypothesis"] == "five\\x1b[31m \\u202esix"
    written = (measured.parent / "tables" / "transcripts.csv").read_text(encoding="utf-8")
    assert "\x1b" not in written and "\u202e" not in written


def test_every_normaliser_says_its_name_and_what_it_is_made_of(archives: Archives) -> None:
    by_language = normalisers.normalisers(archives, "packages")
    names = {ending: str(normaliser) for ending, normaliser in by_language("en").items()}
    made_of = f"openai-whisper {catalogue()['openai-whisper'].version}, transformers {version('transformers')}"
    assert names == {"": f"whisper-english ({made_of})", "_plain": "plain 2"}


@pytest.mark.parametrize(
    ("text", "empty"), [("", True), (" .", True), ("♪ ..", True), ("a", False), ("5", False), ("日本", False)]
)
def test_a_text_without_a_word_is_empty(text: str, empty: bool) -> None:
    assert is_empty(text) is empty


@pytest.mark.parametrize("in_utf8", [True, False])
def test_prose_of_any_length_does_not_repeat_itself(in_utf8: bool) -> None:
    assert not any(repeats_itself(PROSE[:end], in_utf8) for end in range(len(PROSE)))
    # Said again a minute later it is no loop, though the whole compresses well.
    assert not repeats_itself(f"{PROSE} " * 5, in_utf8)


# The first three are what Whisper tiny and base made of noise and of a cut that was played again and again.
@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("you", False),
        ("I'm going to put the bag in the bag. I'm going to put the bag in the bag.", False),
        ("He turned sharply and faced Gregson. " * 13, True),
        ("Thank you. " * 10, True),
        ("words words words words", False),
        ("a" * 26, False),
        ("a" * 27, True),
    ],
)
def test_a_loop_repeats_itself_and_saying_it_twice_does_not(text: str, repeats: bool) -> None:
    assert repeats_itself(text) is repeats


@pytest.mark.parametrize("in_utf8", [True, False])
def test_a_loop_is_found_wherever_it_is_in_a_long_text(in_utf8: bool) -> None:
    loop = ("And that is all. " * 15)[:250]
    assert all(repeats_itself(PROSE[:start] + loop + PROSE[start:], in_utf8) for start in range(0, len(PROSE), 7))


@pytest.mark.parametrize(
    ("n_insertions", "n_words", "hallucinated"),
    [
        (2, 1, False),
        (3, 1, True),
        (3, 6, True),
        (3, 7, False),
        (50, 101, False),
        (51, 101, True),
        (3, 0, True),
        (2, 0, False),
    ],
)
def test_a_burst_of_insertions_is_hallucinated(n_insertions: int, n_words: int, hallucinated: bool) -> None:
    assert is_hallucinated("", "", n_insertions, n_words) is hallucinated


def test_a_loop_is_hallucinated_unless_it_was_spoken() -> None:
    loop = "row row row your boat " * 10
    assert is_hallucinated("row your boat", loop, 0, 100)
    assert not is_hallucinated(loop, loop, 0, 100)


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Path]:
    """A folder of records: one of a model that heard, one of random weights."""
    texts = [["One two, three.", "for"], ["five, six and seven and eight", "One two, three."]]
    passes = [
        a_pass(1.0, ["a", "b"], texts[0], phase="warmup"),
        a_pass(1.0, ["a", "b"], texts[0]),
        a_pass(1.0, ["c", "a"], texts[1]) | {"round": 1},
    ]
    folder = tmp_path / "measurements"
    cell_record.write(folder / "whisper-base/fp32/cpu/5s-b2/lap1.parquet", a_header("whisper-base"), passes)
    cell_record.write(folder / "wav2vec2-base-960h/fp32/cpu/5s-b2/lap1.parquet", a_header("wav2vec2-base-960h"), PASSES)
    return folder


def collected(measured: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """Run `make_tables.py` with a spelling table of its own and return what it wrote."""
    monkeypatch.setattr(make_tables, "Archives", lambda folder: archives)
    study, output = measured.parent / "study.json", measured.parent / "tables"
    study.write_text(json.dumps(STUDY.as_json()))
    parquet.write({"flops": pa.Table.from_pylist([], schema=FLOPS)}, output)
    places = {"study": study, "measurements": measured, "downloads": measured.parent, "output-folder": output}
    places |= {"flops": output / "flops.parquet", "layouts": measured.parent / "layouts"}
    make_tables.main([part for option, path in places.items() for part in (f"--{option}", str(path))])
    return {name: pq.read_table(output / f"{name}.parquet").to_pylist() for name in ("cells", "transcripts")}


def test_collect_scores_a_record_by_every_normaliser(
    measured: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = collected(measured, archives, monkeypatch)
    random_weights, cell = made["cells"]
    # The texts are "123", "4", "56" against "123", "for", "56 and 7 and 8": Whisper's normaliser joins digits.
    assert (cell["wer_words"], cell["wer_errors"], cell["wer"]) == (3, 5, 5 / 3)
    assert (cell["n_substitutions"], cell["n_deletions"], cell["n_insertions"]) == (1, 0, 4)
    assert (cell["n_characters"], cell["n_character_errors"], cell["cer"]) == (6, 3 + 12, 15 / 6)
    # The plain one leaves "one two three", "four", "five six": "u" is lost, " and seven and eight" is made up.
    assert (cell["wer_words_plain"], cell["wer_errors_plain"], cell["wer_plain"]) == (6, 5, 5 / 6)
    assert (cell["n_characters_plain"], cell["n_character_errors_plain"], cell["cer_plain"]) == (25, 1 + 20, 21 / 25)
    for rate in ("wer", "cer", "wer_plain", "cer_plain"):
        name, ending = rate[:3], rate[3:]
        assert cell[f"{name}_ci_low{ending}"] <= cell[rate] <= cell[f"{name}_ci_high{ending}"]
    assert (cell["n_empty"], cell["n_hallucinated"], cell["n_nondeterministic"], cell["wer_note"]) == (0, 1, 0, None)
    assert cell["normaliser_plain"] == "plain 2" and cell["normaliser"].startswith("whisper-english (openai-whisper 2")
    assert [row["is_hallucinated"] for row in made["transcripts"]] == [False, False, True]
    for column in ("wer", "cer", "cer_plain", "normaliser", "n_characters", "n_empty", "n_hallucinated"):
        assert random_weights[column] is None, column


def test_scoring_is_deterministic_and_sums_up_to_the_cell(
    measured: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = collected(measured, archives, monkeypatch)
    assert collected(measured, archives, monkeypatch) == made
    cell, transcripts = made["cells"][1], made["transcripts"]
    for ending in NORMALISERS:
        for row in transcripts:
            again = compare(row[f"reference_normalised{ending}"], row[f"hypothesis_normalised{ending}"])
            assert (again.n_errors, again.n_characters) == (row[f"n_errors{ending}"], row[f"n_characters{ending}"])
        assert cell[f"wer_errors{ending}"] == sum(row[f"n_errors{ending}"] for row in transcripts)
        assert {row[f"normaliser{ending}"] for row in transcripts} == {cell[f"normaliser{ending}"]}


def test_another_normaliser_needs_no_measuring(
    measured: Path, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = collected(measured, archives, monkeypatch)
    letters = Normaliser("letters", "1", lambda text: text.replace(" ", "").lower())
    monkeypatch.setitem(NORMALISERS, "_plain", lambda *_: letters)
    after = collected(measured, archives, monkeypatch)
    assert after["cells"][1]["normaliser_plain"] == "letters 1"
    assert after["cells"][1]["wer_words_plain"] == len(SEGMENTS)
    assert [cell["wer"] for cell in after["cells"]] == [cell["wer"] for cell in before["cells"]]


def test_each_normaliser_has_its_columns() -> None:
    assert (*NORMALISERS, OF_CORPUS) == ENDINGS
    of_cells = "normaliser wer wer_ci_low wer_ci_high wer_errors wer_words n_substitutions n_deletions n_insertions "
    of_cells += "cer cer_ci_low cer_ci_high n_characters n_character_errors"
    of_texts = "normaliser reference_normalised hypothesis_normalised n_words n_errors n_substitutions n_deletions "
    of_texts += "n_insertions n_characters n_character_errors"
    for names, schema in ((of_cells, columns.CELLS), (of_texts, columns.TRANSCRIPTS)):
        wanted = [f"{name}{ending}" for ending in NORMALISERS for name in names.split()]
        assert set(wanted) <= set(schema.names)
        assert len(schema.names) == len(set(schema.names))
