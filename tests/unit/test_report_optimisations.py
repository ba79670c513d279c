"""The report's section of what would make it faster, on constructed rows; and what is said of variants elsewhere."""

import re
from typing import Any

import pytest
from test_first_screen import NOTHING, QUICK, answered, quick, said, slow
from test_report import rendered, text_of

from asrmeter.analysis.results import results_of
from asrmeter.report.catalogue import load_words
from asrmeter.report.html.optimisations import OptimisationsSection, optimisations_section
from asrmeter.report.html.start import start_table
from asrmeter.report.html.table_model import Table
from asrmeter.report.html.variants import unequal
from helpers.optimisations import absent, example_optimisations, optimisation
from helpers.pages import HOSTILE, TEMPLATES
from helpers.tables import Cell, cell, example_cells, example_study

WORDS = load_words(TEMPLATES, "en")
SAME = {"share_identical": 1.0, "wer_change": 0.0, "wer_change_low": 0.0, "wer_change_high": 0.0}
UNEQUAL = {"equal_settings": False, "differences": ["beam", "vad"]}


def section(*rows: Cell, gate: float | None = 0.98) -> OptimisationsSection:
    found = optimisations_section(rows, gate, WORDS)
    assert found is not None
    return found


def headlines(*rows: Cell) -> list[str]:
    return [said(one) for one in section(*rows).headlines]


def lines(table: Table) -> list[list[str]]:
    return [[said(str(entry.text)) for entry in line.entries] for line in table.lines]


def table_of(found: OptimisationsSection, name: str) -> Table:
    (table,) = (table for _, table in found.tables if table.name == name)
    return table


def fields(name: str, *rows: Cell) -> dict[str, str]:
    """Return what a table says of the first row, by its headings."""
    table = table_of(section(*rows), name)
    return dict(zip(map(said, table.headings), lines(table)[0], strict=True))


def test_a_study_of_fp32_alone_has_no_such_section() -> None:
    assert optimisations_section([], 0.98, WORDS) is None
    html = rendered(example_cells())
    assert 'id="optimisations"' not in html and 'id="figure-optimisations"' not in html
    assert WORDS["sections"]["optimisations"] not in html


def test_who_decides_reads_what_helps_most_and_what_it_costs() -> None:
    slower = optimisation("ct2-fp32", 1.1, **SAME)
    assert headlines(slower, optimisation("ct2-int8", 1.6, **SAME)) == [
        "On this machine ct2-int8 runs whisper-base 1.60 times as fast as fp32 (1.52 to 1.68), with the same words."
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "with no significant difference in errors."),
        ({"wer_change_low": 0.001}, "with a WER that is 0.200 points higher."),
        ({"wer_change": -0.01, "wer_change_high": -0.004}, "with a WER that is 1.00 points lower."),
        ({"wer_change": None, "share_identical": None}, "with unknown accuracy."),
    ],
)
def test_what_becomes_of_the_words_is_in_the_sentence(changes: dict[str, Any], told: str) -> None:
    assert headlines(optimisation(**changes))[0].endswith(told)


def test_a_ratio_without_an_interval_says_so() -> None:
    (one,) = headlines(optimisation(speed_ratio_low=None, speed_ratio_high=None))
    assert "1.60 times as fast as fp32 (without an interval)" in one


@pytest.mark.parametrize("verdict", ["no_difference", "hurts", "costs_accuracy"])
def test_what_does_not_help_is_not_advised(verdict: str) -> None:
    assert headlines(optimisation(verdict=verdict)) == [
        "No measured variant makes whisper-base faster than fp32 without costing accuracy."
    ]


def test_other_settings_are_named_only_where_they_are_faster() -> None:
    people = optimisation("faster-whisper", 2.0, **UNEQUAL)
    equal, other = optimisation("ct2-int8", 1.6), optimisation("ct2-int8", 2.1)
    (one,) = headlines(equal, people)
    assert one.startswith("On this machine ct2-int8 runs whisper-base 1.60 times as fast")
    assert "faster-whisper runs whisper-base 2.00 times as fast as fp32 (1.90 to 2.10)" in one
    assert one.endswith("but it decodes differently (beam search, silence skipped).")
    assert "faster-whisper" not in headlines(other, people)[0]
    # Alone it is no answer to what makes the same faster.
    assert headlines(people)[0].startswith("faster-whisper runs whisper-base 2.00 times")


def test_each_model_and_device_has_a_sentence_if_there_is_room() -> None:
    rows = [optimisation(model=name, device=device) for name in ("a", "b") for device in ("cpu", "cuda")]
    found = headlines(*rows)
    assert "runs a 1.60 times as fast as fp32 (1.52 to 1.68) on cuda" in found[1]
    assert found[3] == "The table shows 1 more models."


def test_what_fp32_has_already_is_no_advice_to_change_the_engine() -> None:
    found = section(optimisation("key-value-caching", 3.0), optimisation("larger-batches", 1.3))
    assert said(found.headlines[0]).startswith("No measured variant")
    assert [said(one) for one in found.sentences] == [
        "Larger batches transcribe 1.30 times as much audio per second with whisper-base (1.23 to 1.37).",
        "fp32 already includes these. Slowdown without them: key-value cache 3.00 (whisper-base).",
    ]
    # Some proposals are measured by the same variant: that is said once.
    twice = section(optimisation("key-value-caching", 3.0), optimisation("caching", 3.0))
    assert said(twice.sentences[0]).count("3.00") == 1


def test_a_line_holds_all_figures_of_a_proposal() -> None:
    assert fields("optimisations", optimisation("int8-weights", 1.6, **UNEQUAL, emulated=True)) == {
        "Proposal": "INT8 int8-weights",
        "Model": "whisper-base",
        "Verdict": "helps",
        "Speed (×)": "1.60 1.52\u2009–\u20091.68".replace("\u2009", " "),
        "WER (points)": "+0.200 -0.300 – +0.600",
        "Same texts (%)": "87.5 of 24 texts",
        "Energy (×)": "1.57 modelled (cpu_load_model)",
        "Memory (×)": "1.30",
        "Size on disk (MB)": "145 290 MB without it",
        "Difference": "decoding settings differ, beam search, silence skipped, number format is emulated",
        "Reason": "",
    }


def test_a_line_says_what_is_held_against_what() -> None:
    def told(*rows: Cell) -> str:
        return fields("optimisations", *rows)["Proposal"]

    assert told(optimisation("key-value-caching", 3.0)) == "Key-value caching fp32 against no-cache"
    assert told(optimisation("larger-batches", 1.3)) == "Larger batches fp32, the largest batch against batch 1"
    assert told(optimisation("less-synchronisation", 1.1)) == "Less synchronisation less-sync against torch-loop"
    assert told(optimisation(None, 1.1)) == "mine"


def test_stages_stand_side_by_side() -> None:
    found = fields("optimisation-stages", optimisation("ct2-int8", 1.6))
    assert (found["Encoder (×)"], found["Decoder (×)"]) == ("1.60 0.800 → 0.500 s", "2.40 1.20 → 0.500 s")
    # Of a runtime that marks no stage there is nothing to stand there.
    none = optimisation() | {f"{stage}_ratio": None for stage in ("features", "encoder", "decoder")}
    assert [table.name for _, table in section(none).tables] == ["optimisations"]


def test_what_has_no_figures_stands_once_with_its_reason() -> None:
    rows = [optimisation("fp16", None, model, reason="no float16 here") for model in ("a", "b")]
    rows.append(optimisation("fp16", None, "c", verdict="not_measured", reason="error: broken"))
    assert lines(table_of(section(*rows), "optimisations-left")) == [
        ["FP16 fp16", "a, b", "not possible here", "no float16 here"],
        ["FP16 fp16", "c", "not measured", "error: broken"],
    ]


def test_what_the_study_does_not_try_is_only_named() -> None:
    found = section(optimisation(), absent("whispercpp-q5_0"), absent("whispercpp-q5_0", model="other"))
    assert said(found.absent).startswith("Not in this study: whisper.cpp q5_0. variants: proposals")
    assert "optimisations-left" not in [table.name for _, table in found.tables]
    assert section(optimisation()).absent == ""


def test_the_rule_tells_the_gate_if_there_is_one() -> None:
    assert "keeps less than 98.0 % of the word accuracy" in said(section(optimisation()).rule)
    assert "word accuracy" not in section(optimisation(), gate=None).rule


def test_the_page_has_sentences_figure_tables_and_starting_costs() -> None:
    html = rendered(example_cells(), optimisations=example_optimisations())
    (own,) = re.findall(r'<section id="optimisations".*?</section>', html, flags=re.DOTALL)
    assert own.index("On this machine") < own.index("<svg") < own.index("Gain by stage")
    assert 'href="#start"' in own and '<h3 id="start">Time to first text</h3>' in html
    assert "Measured, by verdict: helps 10, no difference 2, hurts 2, costs accuracy 2." in text_of(own)
    # It comes right after the answer.
    assert re.findall(r'<section id="(.*?)"', html)[:2] == ["answer", "optimisations"]


def test_nothing_that_a_study_names_is_markup() -> None:
    hostile = {"variant": HOSTILE, "reason": HOSTILE, "model": HOSTILE, "differences": [HOSTILE], "baseline": "fp32"}
    rows = [optimisation(None, 2.0, **hostile | {"energy_method": HOSTILE}), optimisation(None, 1.0, **hostile)]
    rows += [optimisation(None, 3.0, **hostile | {"equal_settings": False}), optimisation(None, None, **hostile)]
    rows += [optimisation("key-value-caching", 3.0, **hostile | {"wording": HOSTILE})]
    html = rendered(example_cells(), optimisations=rows)
    assert HOSTILE not in html and "&lt;" in html


def starting(**changes: Any) -> Cell:
    told = {"imports_cpu_s": 4.6, "load_s": 1.9, "first_pass_s": 1.3, "first_text_s": 7.8, "reason": None}
    told |= {
        "compile_s": None,
        "compile_cached_s": None,
        "conversion_s": None,
        "peak_device_bytes": None,
        "duration_s": 5,
        "batch_size": 1,
    }
    return {name: cell().get(name) for name in ("model", "variant", "device", "model_bytes", "peak_rss_bytes")} | (
        told | changes
    )


def test_from_start_to_first_text_tells_each_part_or_why_not() -> None:
    lost = dict.fromkeys(("load_s", "first_pass_s", "first_text_s"), None) | {"reason": "no float16 here"}
    table = start_table([starting(), starting(variant="fp16", **lost)], WORDS)
    assert table is not None
    assert lines(table)[0] == ["whisper-base", "fp32", "cpu", "7.80", "4.60", "1.90", "1.30", "150", "2.36", "5", "1"]
    assert table.lines[1].entries[3].note == "no float16 here"
    # What nobody compiles or converts has no column.
    compiled = start_table([starting(), starting(compile_s=0.9)], WORDS)
    assert compiled and said(compiled.headings[7]) == "Compiling, included (s)"
    assert compiled.lines[0].entries[7].note == "nothing is compiled"
    assert start_table([starting(load_s=None)], WORDS) is None


def test_a_pick_with_other_settings_says_so_everywhere() -> None:
    own = {"variant": "faster-whisper", "runtime": "faster_whisper", "equal_settings": False}
    cells = [quick(), quick(**QUICK, **own, differences=["beam", "vad"]), slow()]
    found = answered(cells, {"mine": NOTHING, "edge": NOTHING})
    told = "It does not decode as fp32 does: beam search, silence skipped."
    assert said(found.setting) == f"faster-whisper on cpu, batch 1. {told}"
    assert said(found.others[0].pick) == "quick (faster-whisper), cpu, batch 1, different decoding"
    html = text_of(rendered(cells))
    # The first screen, the cards of three purposes, the figures beside them.
    assert html.count(told) >= 3
    assert "faster-whisper: decoding settings differ from fp32 (beam search, silence skipped)." in html
    assert "does not decode" not in text_of(rendered([quick(**QUICK), slow()]))


def test_settings_that_nobody_spells_out_are_said_to_be_others() -> None:
    (result,) = results_of([cell(equal_settings=False)])
    assert said(*unequal(result, WORDS)) == "It does not decode with the settings of fp32."
    # An older table does not say it.
    (old,) = results_of([{name: value for name, value in cell().items() if name != "equal_settings"}])
    assert unequal(old, WORDS) == []


def test_fp32_is_named_where_it_has_rivals_of_the_same_model() -> None:
    cells = [quick(**QUICK), quick(variant="ct2-int8", latency_s_median=0.8), slow()]
    assert said(answered(cells).setting) == "transformers (fp32) on cpu, batch 1."
    assert said(answered([quick(**QUICK), slow(variant="bf16")]).setting) == "transformers on cpu, batch 1."


def test_russian_has_all_of_it() -> None:
    russian = load_words(TEMPLATES, "ru")
    found = optimisations_section(example_optimisations(), 0.98, russian)
    assert found and said(found.headlines[0]) == (
        "На этой машине модель whisper-base с ct2-int8 работает в 1.78 раза быстрее, чем с fp32 (от 1.69 до 1.87), "
        "число ошибок статистически не меняется."
    )
    assert example_study().report.language == "en"
