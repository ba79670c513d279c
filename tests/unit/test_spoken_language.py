"""The language of a corpus: told, found in its texts, or refused in one line; and never taken for English."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from asrmeter.common.constants import SAMPLE_RATE_HZ
from asrmeter.common.errors import AsrmeterError
from asrmeter.common.languages import language_of_tag, languages
from asrmeter.common.paths import ROOT
from asrmeter.corpora import kinds, text_language
from asrmeter.corpora.build import build
from asrmeter.corpora.kinds.folder import FolderCorpus
from asrmeter.corpora.kinds.hub import HubCorpus
from asrmeter.study import validation

ENGLISH = [
    "Good morning, how can I help you?",
    "I would like to change my address.",
    "What time does the train leave?",
    "I have no money at the moment.",
    "Tomorrow we will go to the beach.",
    "The dog sleeps in the house.",
    "I need to speak to an agent.",
    "Thank you for calling us.",
    "The bill is far too high.",
    "Please wait for a moment.",
]
SPOKEN = {
    "es": "Buenos días, ¿en qué puedo ayudarle?|Quiero cambiar mi dirección.|¿A qué hora sale el tren?|No tengo dinero "
    "ahora.|Mañana vamos a la playa.|El perro duerme en la casa.|Necesito hablar con un agente.|Gracias por llamar.|La "
    "factura es demasiado alta.|Por favor, espere un momento.",
    "it": "Buongiorno, come posso aiutarla?|Vorrei cambiare il mio indirizzo.|A che ora parte il treno?|Non ho soldi "
    "adesso.|Domani andiamo al mare.|Il cane dorme in casa.|Devo parlare con un operatore.|Grazie per aver chiamato.|"
    "La bolletta è troppo alta.|Per favore, aspetti un momento.",
    "fr": "Bonjour, comment puis-je vous aider?|Je voudrais changer mon adresse.|À quelle heure part le train?|Je n'ai "
    "pas d'argent.|Demain nous allons à la plage.|Le chien dort dans la maison.|Je dois parler à un agent.|Merci de "
    "votre appel.|La facture est trop élevée.|Attendez un moment, s'il vous plaît.",
    "de": "Guten Morgen, wie kann ich Ihnen helfen?|Ich möchte meine Adresse ändern.|Wann fährt der Zug?|Ich habe kein "
    "Geld.|Morgen fahren wir ans Meer.|Der Hund schläft im Haus.|Ich muss mit jemandem sprechen.|Danke für Ihren "
    "Anruf.|Die Rechnung ist zu hoch.|Bitte warten Sie einen Moment.",
    "uk": "Доброго ранку, чим можу допомогти?|Я хочу змінити адресу.|О котрій їде потяг?|У мене немає грошей.|Завтра "
    "ми їдемо на море.|Пес спить у хаті.|Мені треба поговорити з кимось.|Дякуємо за дзвінок.|Рахунок завеликий.|Будь "
    "ласка, зачекайте.",
    "ru": "Доброе утро, чем могу помочь?|Я хочу изменить адрес.|Во сколько уходит поезд?|У меня нет денег.|Завтра мы "
    "едем на море.|Собака спит в доме.|Мне нужно поговорить с кем-нибудь.|Спасибо за звонок.|Счёт слишком "
    "большой.|Подождите, пожалуйста.",
    "nl": "Goedemorgen, hoe kan ik u helpen?|Ik wil mijn adres wijzigen.|Hoe laat vertrekt de trein?|Ik heb geen "
    "geld.|Morgen gaan we naar het strand.|De hond slaapt in huis.|De rekening is te hoog.",
    "pl": "Dzień dobry, w czym mogę pomóc?|Chcę zmienić adres.|O której odjeżdża pociąg?|Nie mam pieniędzy.",
    "sv": "God morgon, hur kan jag hjälpa dig?|Jag vill ändra min adress.|När går tåget?|Räkningen är för hög.",
    "pt": "Bom dia, como posso ajudar?|Quero mudar o meu endereço.|A que horas parte o comboio?|A fatura é alta.",
    "la": "Gallia est omnis divisa in partes tres.|Veni vidi vici.|Alea iacta est.|Carthago delenda est.",
    "eo": "Bonan matenon, kiel mi povas helpi vin?|Mi ne havas monon nun.|La hundo dormas en la domo.",
}
LISTS = {code: text.split("|") for code, text in SPOKEN.items()}


def folder(
    home: Path, texts: Sequence[str], told: Sequence[str] = (), length_s: float = 1.0, **options: Any
) -> FolderCorpus:
    """Return a folder of so many recordings; with `told`, its metadata has a column of languages."""
    home.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).normal(0, 0.1, round(length_s * SAMPLE_RATE_HZ))
    entries = []
    for number, text in enumerate(texts):
        soundfile.write(home / f"{number}.wav", noise, SAMPLE_RATE_HZ)
        entries.append({"file_name": f"{number}.wav", "text": text})
        entries[-1] |= {"language": told[number]} if told else {}
    (home / "metadata.jsonl").write_text("\n".join(map(json.dumps, entries)))
    return FolderCorpus(**{"kind": "folder", "path": str(home), "durations": "natural"} | options)


def made(corpus: FolderCorpus, output: Path) -> list[dict[str, Any]]:
    corpus.check()
    build(corpus, [5], 1, output / "downloads", output / "corpus")
    return pq.read_table(output / "corpus" / "segments.parquet").to_pylist()


def refused(corpus: FolderCorpus, output: Path) -> str:
    with pytest.raises(AsrmeterError) as caught:
        made(corpus, output)
    assert not (output / "corpus").exists() and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("code", LISTS)
def test_no_other_language_is_taken_for_english(code: str, tmp_path: Path) -> None:
    message = refused(folder(tmp_path / "f", LISTS[code]), tmp_path)
    assert message == (
        f"corpus.language: the texts of {tmp_path / 'f'} are not said to be in any language, and look "
        f"{languages()[code].name}: write language: {code} (or auto, to let models detect it)"
    )


@pytest.mark.parametrize("code", LISTS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_texts_are_not_taken_for_english(code: str, n: int, tmp_path: Path) -> None:
    for begin in range(len(LISTS[code]) - n):
        look = text_language.by_words(LISTS[code][begin : begin + n])
        assert look is None or look.code != "en" or not look.is_certain


@pytest.mark.parametrize(
    "texts",
    [
        ["Anna Schmidt", "Peter Müller", "Maria Garcia"],
        ["1 2 3", "44 5 6", "911"],
        ["ja", "nein", "danke"],
        ["oui", "non", "merci"],
        ["said"],
        [],
        ["", ""],
        ["We drove from Guadalajara to Tegucigalpa.", "Karamazov called Valjean.", "Señora García in Reykjavik."],
    ],
)
def test_what_tells_too_little_is_stopped(texts: list[str], tmp_path: Path) -> None:
    message = refused(folder(tmp_path / "f", texts or ["", ""]), tmp_path)
    assert message.startswith("corpus.language: ") and "write language: en" in message and "or auto" in message


def test_english_goes_on_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    corpus = folder(tmp_path / "f", ENGLISH)
    assert {(row["language"], row["language_told"]) for row in made(corpus, tmp_path)} == {("en", "en")}
    assert f"corpus.language is not given; the texts of {corpus.path} are English (en)" in caplog.messages
    capitals = folder(tmp_path / "g", [text.upper() for text in ENGLISH[:3]])
    assert {row["language"] for row in made(capitals, tmp_path / "capitals")} == {"en"}


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ("Съешь ещё этих мягких французских булок да выпей чаю", "ru"),
        ("Їжте ще цих м'яких французьких булок та пийте чай", "uk"),
        ("З'еш яшчэ гэтых мяккіх булак ды выпі гарбаты, ў дарогу", "be"),
        ("Љубазни фењерџија чађавог лица хоће да ми покаже штос", "sr"),
        ("Ѓаволот џвака крем со бибер, ќути", "mk"),
        ("Ах чудна българска земьо, полюшвай цъфтящи жита", "bg"),
        ("いろはにほへと ちりぬるを 漢字", "ja"),
        ("你好世界今天天气很好", "zh"),
        ("안녕하세요 여러분", "ko"),
        ("صباح الخير كيف حالك", "ar"),
        ("صبح بخیر چطور می‌توانم کمک کنم", "fa"),
        ("नमस्ते आप कैसे हैं", "hi"),
        ("Καλημέρα πώς είστε", "el"),
        ("שלום מה שלומך", "he"),
        ("สวัสดีครับ", "th"),
        ("გამარჯობა", "ka"),
        ("Good morning", None),
        ("1 2 3", None),
    ],
)
def test_letters_hint_at_the_language(texts: str, code: str | None) -> None:
    assert text_language.by_letters(texts) == code


def test_other_letters_stop_before_any_job(tmp_path: Path) -> None:
    with pytest.raises(AsrmeterError, match=r"look Russian: write language: ru \(or auto, to let models detect it\)$"):
        folder(tmp_path / "f", LISTS["ru"]).check()
    with pytest.raises(AsrmeterError, match=r"^corpus\.language: .* has no texts that tell what is spoken: write "):
        folder(tmp_path / "f", ["", ""]).check()
    (tmp_path / "f" / "metadata.jsonl").unlink()
    with pytest.raises(AsrmeterError, match=r"^corpus\.language: .* has no texts that tell what is spoken: write "):
        FolderCorpus(kind="folder", path=str(tmp_path / "f")).check()


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (
            LISTS["ru"][:3],
            "are in Latin letters, and 3 of the 13 that can be told are not (10.wav looks Russian): tell the language",
        ),
        (
            LISTS["de"][:3],
            "are English, and 2 of the 11 that can be told are not (10.wav looks German): tell the language of each",
        ),
    ],
)
def test_a_mixed_folder_stops_and_names_a_file(others: list[str], message: str, tmp_path: Path) -> None:
    assert message in refused(folder(tmp_path / "f", ENGLISH + others), tmp_path)


def test_a_column_tells_each_recording_its_language(tmp_path: Path) -> None:
    texts = [text for three in zip(ENGLISH, LISTS["ru"], LISTS["de"], strict=True) for text in three]
    # Of one in three nothing is told: corpus.language, or what the texts look like.
    told = ["", "RU", " de "] * 10
    corpus = folder(tmp_path / "f", texts, told, durations="joined")
    rows = made(corpus, tmp_path)
    assert {row["language"] for row in rows} == {"en", "ru", "de"}
    by_name = {f"{number}.wav": ["en", "ru", "de"][number % 3] for number in range(30)}
    assert {name for row in rows for name in row["utterances"]} == set(by_name)
    for row in rows:
        # Never of two languages, though they follow each other in turns.
        assert {by_name[name] for name in row["utterances"]} == {row["language"]} == {row["language_told"]}
    assert len(rows) < len(texts)
    left_open = made(folder(tmp_path / "f", texts, told, language="auto"), tmp_path / "auto")
    assert [row["language"] for row in left_open] == [by_name[row["utterances"][0]] for row in left_open]
    assert {row["language_told"] for row in left_open} == {None}
    # Where the study tells one, it holds for the others.
    dutch = folder(tmp_path / "g", [*LISTS["nl"], *LISTS["ru"]], [*[""] * 7, *["ru"] * 10], language="nl")
    assert {row["language"] for row in made(dutch, tmp_path / "dutch")} == {"nl", "ru"}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("file_name,text,language\n0.wav,a,rus\n", "line 2 has the language unknown language rus (did you mean ru?)"),
        ("file_name,language,text\n0.wav,en,a\n1.wav,German,b\n", "line 3 has the language unknown language german (d"),
        ('{"file_name": "0.wav", "text": "a", "language": 7}', "line 1 has the language 7.0, not a text; write its"),
    ],
)
def test_a_code_in_the_column_is_checked(metadata: str, message: str, tmp_path: Path) -> None:
    corpus = folder(tmp_path / "f", ["a", "b"])
    (tmp_path / "f" / "metadata.jsonl").unlink()
    name = "metadata.jsonl" if metadata.startswith("{") else "metadata.csv"
    (tmp_path / "f" / name).write_text(metadata)
    with pytest.raises(AsrmeterError) as caught:
        corpus.check()
    assert message in str(caught.value)


def test_a_column_of_languages_is_no_column_of_texts(tmp_path: Path) -> None:
    corpus = folder(tmp_path / "f", ["", ""])
    (tmp_path / "f" / "metadata.jsonl").unlink()
    (tmp_path / "f" / "metadata.csv").write_text("file_name,language\n0.wav,ru\n1.wav,fr\n")
    rows = made(corpus, tmp_path)
    assert [(row["language"], row["text"]) for row in rows] == [("ru", ""), ("fr", "")]


def test_auto_leaves_open_what_is_not_certain(tmp_path: Path) -> None:
    rows = made(folder(tmp_path / "f", LISTS["fr"], language="auto"), tmp_path)
    assert {(row["language"], row["language_told"]) for row in rows} == {("fr", None)}
    silent_about_it = made(folder(tmp_path / "g", ["ja", "no", "si"], language="auto"), tmp_path / "short")
    assert {(row["language"], row["language_told"]) for row in silent_about_it} == {(None, None)}
    mixed = made(folder(tmp_path / "h", [*LISTS["ru"], *ENGLISH, "12"], language="auto"), tmp_path / "mixed")
    assert [row["language"] for row in mixed] == ["ru"] * 10 + ["en"] * 10 + [None]
    alike = made(folder(tmp_path / "i", [*LISTS["de"], *ENGLISH], language="auto"), tmp_path / "alike")
    assert {row["language"] for row in alike[:10]} == {"de", None}
    assert {row["language"] for row in alike[10:]} == {"en", None}


def test_texts_that_contradict_what_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wrong = folder(tmp_path / "f", LISTS["fr"], language="en")
    assert refused(wrong, tmp_path) == (
        f"corpus.language: en is told, but the texts of {tmp_path / 'f'} look French (0.wav): write language: fr"
    )
    with pytest.raises(AsrmeterError) as caught:
        folder(tmp_path / "f", LISTS["ru"], language="en").check()
    assert str(caught.value) == (
        f"corpus.language: en is told, but 10 of 10 texts of {tmp_path / 'f'} are not in letters of English (0.wav, "
        "1.wav, and 8 more) and look Russian: write language: ru"
    )
    column = folder(tmp_path / "f", LISTS["fr"], ["de"] * 10)
    assert refused(column, tmp_path) == (
        f"the column language of the metadata tells de, but the texts of {tmp_path / 'f'} look French (0.wav): correct "
        "that column"
    )
    one = folder(tmp_path / "f", [*LISTS["ru"], "Good morning to you"], language="ru")
    assert {row["language"] for row in made(one, tmp_path)} == {"ru"}
    why = "its text is mostly not in letters of Russian (ru)"
    assert f"10.wav: {why}" in caplog.messages
    selection = json.loads((tmp_path / "corpus" / "selection.json").read_text())
    assert selection["warnings"] == [{"name": "10.wav", "reason": why}]


@pytest.mark.parametrize(
    ("text", "told"),
    [("sv", "no"), ("sv", "da"), ("pt", "gl"), ("es", "pt"), ("it", "la"), ("nl", "af"), ("ru", "haw"), ("eo", "ia")],
)
def test_near_and_unknown_languages_are_no_contradiction(text: str, told: str) -> None:
    assert text_language.contradicted(LISTS[text], told) is None
    assert text_language.contradicted(LISTS[text] * 5, text) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [("ru", "bg"), ("uk", "ru"), ("fr", "ca"), ("de", "nl"), ("es", "it"), ("fr", "en"), ("nl", "de"), ("it", "es")],
)
def test_another_language_is_a_contradiction(text: str, told: str) -> None:
    look = text_language.contradicted(LISTS[text], told)
    assert look is not None and look.code == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "packages", "name": "quickstart", "language": "ru"},
            "corpus.language: quickstart is English, not Russian; write en, or auto to let models detect it",
        ),
        ({"kind": "gigaspeech", "language": "fr"}, "corpus.language: gigaspeech is English, not French; write en, or"),
        (
            {"kind": "hub", "id": "me/x", "language": "Russian"},
            "corpus.language: unknown language Russian (did you mean ru?); give an ISO 639-1 code, such as ru",
        ),
        (
            {"kind": "hub", "id": "me/x", "config": "a", "configs": ["b"]},
            "corpus.config and corpus.configs are both given; keep one",
        ),
    ],
)
def test_a_language_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AsrmeterError) as caught:
        kinds.from_json(options).check()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("ru_ru", "ru"), ("ru", "ru"), ("fr-FR", "fr"), ("cmn_hans_cn", "zh"), ("yue_hant_hk", "yue"), ("es_419", "es"),
        ("german", "de"), ("Portuguese", "pt"), ("zh-CN", "zh"), ("nb_no", "no"), ("clean", None), ("xl", None),
        ("all", None), ("", None), ("default", None), ("en_accented", None),
    ],
)  # fmt: skip
def test_names_of_configurations_tell_languages(tag: str, code: str | None) -> None:
    assert language_of_tag(tag) == code


def test_studies_name_the_languages_of_their_speech() -> None:
    russian, several = (
        validation.with_defaults(yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text()), name).corpus
        for name in ("russian", "multilingual")
    )
    assert russian.language == "ru"
    assert isinstance(several, HubCorpus) and several.configs is not None
    assert [language_of_tag(config) for config in several.configs] == ["en", "ru", "fr", "zh"]


def test_silence_that_says_nothing_is_kept_apart(tmp_path: Path) -> None:
    home = tmp_path / "f"
    corpus = folder(home, ENGLISH)
    hiss = np.random.default_rng(1).normal(0, 1e-4, 40 * SAMPLE_RATE_HZ)
    for name, samples in (("hiss.wav", hiss), ("zero.wav", hiss[:8000] * 0), ("said.wav", hiss[:8000])):
        soundfile.write(home / name, samples, SAMPLE_RATE_HZ)
    with open(home / "metadata.jsonl", "a", encoding="utf-8") as stream:
        for name, text in (("hiss.wav", " "), ("zero.wav", None), ("said.wav", "a word"), ("0.wav", "")):
            stream.write(f"\n{json.dumps({'file_name': name, 'text': text})}")
    audible = soundfile.read(home / "1.wav")[0]
    soundfile.write(home / "heard.wav", audible, SAMPLE_RATE_HZ)
    with open(home / "metadata.jsonl", "a", encoding="utf-8") as stream:
        stream.write('\n{"file_name": "heard.wav", "text": ""}\n')
    assert {name for row in made(corpus, tmp_path) for name in row["utterances"]} == {f"{n}.wav" for n in range(10)}
    selection = json.loads((tmp_path / "corpus" / "selection.json").read_text())
    assert [(one["name"], one["path"], one["audio_s"]) for one in selection["silent"]] == [
        ("hiss.wav", "silent/000.flac", 30),
        ("zero.wav", "silent/001.flac", 0.5),
    ]
    assert {one["name"]: one["reason"].partition(":")[0] for one in selection["skipped"]} == {
        "said.wav": "is silent",
        "heard.wav": "has no text in metadata.jsonl",
        "0.wav (line 14)": "is listed before; this line is ignored",
    }
    kept, rate_hz = soundfile.read(tmp_path / "corpus" / "silent" / "000.flac")
    assert rate_hz == SAMPLE_RATE_HZ and np.abs(kept - hiss[: len(kept)]).max() < 2 / 2**15
    # Without metadata nothing is said to be said.
    (home / "metadata.jsonl").unlink()
    made(FolderCorpus(kind="folder", path=str(home), language="en"), tmp_path / "untold")
    untold = json.loads((tmp_path / "untold" / "corpus" / "selection.json").read_text())
    assert [one["name"] for one in untold["silent"]] == ["hiss.wav", "said.wav", "zero.wav"]


def test_no_more_than_a_hundred_silences_are_kept(tmp_path: Path) -> None:
    corpus = folder(tmp_path / "f", [*ENGLISH, *[""] * 102], language="en")
    for number in range(10, 112):
        soundfile.write(tmp_path / "f" / f"{number}.wav", np.zeros(1600), SAMPLE_RATE_HZ)
    made(corpus, tmp_path)
    selection = json.loads((tmp_path / "corpus" / "selection.json").read_text())
    assert len(selection["silent"]) == len(list((tmp_path / "corpus" / "silent").iterdir())) == 100
    assert [one["name"] for one in selection["skipped"]] == ["110.wav", "111.wav"]
