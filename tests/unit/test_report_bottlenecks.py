"""What the report says of bottlenecks, from constructed tables."""

import html as markup
import re
from pathlib import Path

import pytest
from test_report import TEMPLATES, Page, rendered, text_of

from asrmeter.analysis.bottlenecks import GROUPS, KEYS, Bottlenecks, profiles
from asrmeter.analysis.roofline import LOSSES
from asrmeter.common.errors import AsrmeterError
from asrmeter.measure import operator_attribution
from asrmeter.report.catalogue import load_words
from asrmeter.report.html.flops import per_segment
from helpers.bottlenecks import (
    NO_CUDA,
    SCHEMAS,
    ceiling_rows,
    example_bottlenecks,
    failed_profile,
    flops_row,
    profile_rows,
    published_row,
    row_of,
    scaling_row,
    stage_rows,
    write_bottlenecks,
)
from helpers.tables import cell, example_cells, failed

WORDS = load_words(TEMPLATES, "en")


def section(cells, study_2025=False, **tables):
    """Return the section's HTML; it is checked that the page is well-formed."""
    page = rendered(cells, bottlenecks=Bottlenecks(**tables), report={"study_2025": study_2025})
    Page(page)
    return re.search(r'<section id="bottlenecks".*?</section>', page, flags=re.DOTALL)[0]


def text(cells, **tables):
    return markup.unescape(text_of(section(cells, **tables))).replace(" .", ".").replace(" ,", ",")


def table(html, name):
    """Return the rows of a table, each a mapping of its headings to (text, title) of the fields."""
    found = re.search(rf'<table id="table-{re.escape(name)}".*?</table>', html, flags=re.DOTALL)[0]
    headings = [text_of(one) for one in re.findall(r"<th scope=\"col\".*?</th>", found, flags=re.DOTALL)]
    rows = []
    for line in re.findall(r"<tr>(<th scope=row.*?)(?=<tr>|</tbody>)", found, flags=re.DOTALL):
        fields = re.findall(r"<t[hd]([^>]*)>(.*?)(?=<td|$)", line, flags=re.DOTALL)
        titles = [re.search(r'title="([^"]*)"', attributes) for attributes, _ in fields]
        shown = [markup.unescape(text_of(content)) for *_, content in fields]
        rows.append(dict(zip(headings, zip(shown, [t and t[1] for t in titles], strict=True), strict=True)))
    return rows


def test_tables_have_their_keys_and_words_for_every_group() -> None:
    assert KEYS.keys() == SCHEMAS.keys()
    for name, key in KEYS.items():
        assert set(key) <= set(SCHEMAS[name].names), name
    assert set(GROUPS) == {*operator_attribution.GROUPS, operator_attribution.PYTHON, operator_attribution.OTHER}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("bound", LOSSES)
def test_each_verdict_has_its_reason_and_what_would_help(bound: str, device: str) -> None:
    one = cell(device=device)
    html = section([one], roofline=stage_rows(one, bound))
    shown = markup.unescape(text_of(html))
    assert f"{WORDS['bound'][bound]} on {device}: 1 of 1 cells" in shown
    assert WORDS["bound_help"][f"{bound}_{device}"].replace("\xa0", " ") in shown
    assert WORDS["bound_means"][bound] in shown
    (row,) = table(html, "verdicts")
    assert row["Bottleneck"] == (WORDS["bound"][bound], None)
    assert row["Reason"][0].startswith("55.0 % of the pass ")
    assert row["Reason"][0].endswith("at 60.0 % of the compute ceiling, decoder at 60.0 % of the memory ceiling")
    assert row["Share of the compute ceiling (%)"][0] == "40.0"


def test_summary_counts_verdicts_and_names_differing_models() -> None:
    cells = [cell(batch_size=b) for b in (1, 2, 4)] + [
        cell("whisper-tiny.en"),
        failed(cell("whisper-tiny"), "oom", "full"),
    ]
    verdicts = ["memory", "memory", "compute", "overhead"]
    rows = [row for one, verdict in zip(cells, verdicts, strict=False) for row in stage_rows(one, verdict)]
    shown = text(cells, roofline=rows)
    assert "4 of 5 cells have a bottleneck verdict: memory 2, compute 1, launch/overhead 1." in shown
    assert "Most frequent on cpu: memory, in 2 of 4 cells. whisper-tiny.en differs: launch/overhead 1." in shown
    assert "Evidence: whisper-tiny.en/fp32/cpu/30s-b1" in shown
    assert "1 of 5 cells have no verdict: full." in shown
    assert "No model differs from this as a whole." in text(cells[:2], roofline=rows[:6])


def test_counted_measured_and_modelled_are_told_apart() -> None:
    shown = text([cell()], roofline=stage_rows(cell()))
    assert "Operations are counted (1 MAC = 2 FLOP), and ceilings are measured on the same machine." in shown
    assert "Memory traffic is modelled, not measured. It is the minimum" in shown


def test_what_is_null_says_why() -> None:
    known, ctc, unknown = cell(), cell("wav2vec2-base-960h"), cell(batch_size=2)
    broken = failed(cell(batch_size=4), "oom", "too <large>")
    rows = [*stage_rows(known), *stage_rows(ctc), *stage_rows(unknown, None, "no ceilings were measured")]
    found = table(section([known, ctc, unknown, broken], roofline=rows), "verdicts")
    by_cell = {(row["Model"][0], row["Batch"][0]): row for row in found}
    decoder = "Decoder, share of the memory ceiling (%)"
    assert by_cell["wav2vec2-base-960h", "1"][decoder] == ("–", "a CTC model has no decoder")
    assert by_cell["whisper-base", "2"]["Bottleneck"] == ("–", "no ceilings were measured")
    assert by_cell["whisper-base", "2"]["Compute (% of time)"] == ("–", "no ceilings were measured")
    assert by_cell["whisper-base", "4"]["Bottleneck"] == ("–", "too &lt;large&gt;")
    assert by_cell["whisper-base", "4"][decoder] == ("–", "too &lt;large&gt;")


def test_ceilings_have_their_unit_and_a_failure_its_reason() -> None:
    lost = row_of("ceilings", machine_id="a1b2c3", device="cuda", threads=2, status="error", reason="no <driver>")
    found = table(section([cell()], ceilings=[*ceiling_rows(), lost]), "ceilings")
    shown = [tuple(row[key][0] for key in ("Ceiling", "Reached with", "Rate", "Unit")) for row in found]
    assert shown == [
        ("matrix product, float32", "weights of 2048 × 2048", "280", "GFLOP per s"),
        ("memory", "a working set of 1.05 MB", "60.0", "GB per s"),
        ("memory", "a working set of 1.07 GB", "14.0", "GB per s"),
        ("not measured", "no <driver>", "–", ""),
    ]


def test_profile_has_overhead_longest_operators_and_trace() -> None:
    html = section([cell()], operators=profile_rows(cell()))
    shown = text_of(html)
    assert "The profiled pass took 12.0 % longer than a plain one" in shown
    assert "The operators, and the time between them, cover 97.0 % of it." in shown
    assert re.search(
        r"Longest by CPU time: aten::addmm 38\.0 % ?, aten::scaled_dot_product_attention 20\.0 % ?,", shown
    )
    assert "<code>profiles/whisper-base/fp32/cpu/30s-b1.trace.json.gz</code>" in html
    assert "(between operators)" not in shown
    assert "https://ui.perfetto.dev" in shown and 'href="http' not in html


def test_cpu_profile_has_groups_by_stage_and_no_device_time() -> None:
    found = table(section([cell()], operators=profile_rows(cell())), "operators-cell-whisper-base-fp32-cpu-30s-b1")
    by_group = {row["Operators"][0]: row for row in found}
    assert next(iter(by_group)) == "matrix products"
    assert by_group["matrix products"]["CPU time (% of the pass)"][0] == "44.0"
    assert by_group["matrix products"]["CUDA time (% of its busy time)"] == ("–", NO_CUDA)
    assert by_group["matrix products"]["Encoder (%)"][0] == "28.0"
    assert by_group["matrix products"]["Self-attention (%)"][0] == "10.0"
    assert by_group["all"]["CPU time (% of the pass)"][0] == "93.0"
    assert by_group["all"]["Encoder (%)"][0] == "45.0"


def test_on_cuda_the_shares_are_those_of_the_device() -> None:
    one = cell(device="cuda")
    html = section([one], operators=profile_rows(one))
    found = {row["Operators"][0]: row for row in table(html, "operators-cell-whisper-base-fp32-cuda-30s-b1")}
    assert found["attention"]["CUDA time (% of its busy time)"][0] == "29.0"
    assert found["attention"]["Cross-attention (%)"][0] == "13.0"
    assert found["waiting for the device"]["CPU time (% of the pass)"][0] == "4.00"
    assert "The device was idle for 35.0 % of it." in text_of(html)
    assert "Longest by CUDA time: aten::addmm 44.0 %" in text_of(html)


def test_profile_takes_the_mean_of_its_repeats() -> None:
    rows = [row for row in profile_rows(cell()) if row["repeat"] == 1 or row["group"] != "convolution"]
    (profile,) = profiles(rows)
    assert profile.by_group("n_calls")["convolution"] == 1
    assert profile.by_group("cuda_share") == {}


def test_a_failed_profile_is_named_with_its_reason() -> None:
    shown = text([cell()], operators=[failed_profile(cell(), "longer than 600 s")])
    assert "whisper-base/fp32/cpu/30s-b1 No profile: timeout, longer than 600 s." in shown
    assert "The profiled pass took 3.00 % less" in text([cell()], operators=profile_rows(cell(), overhead=-0.03))
    assert "No trace was kept." in text([cell()], operators=profile_rows(cell(), trace=None))


def test_three_sentences_say_what_sets_the_2025_study_apart() -> None:
    rows = [
        flops_row(),
        flops_row("whisper-small", is_studied=False, edlm2025_encoder=50.0, decoder_gflop_per_step=None, note="none"),
        flops_row("wav2vec2-base-960h", 5),
        flops_row("wav2vec2-base-960h", 30, edlm2025_encoder=160.0),
        # Not of that study.
        flops_row("whisper-mine", edlm2025_encoder=1.0, edlm2025_decoder_gflop_per_step=1.0),
    ]
    html = section([cell()], study_2025=True, flops=rows)
    after = html[html.index(WORDS["bottlenecks"]["flops"]) :]
    sentences = [text_of(one) for one in re.findall(r"<p>.*?</p>", after[: after.index("<table")], flags=re.DOTALL)]
    assert len(sentences) == 3
    assert sentences[0].endswith("; the true figures are 1.25 to 1.60 times as high.")
    assert "twice the MAC" in sentences[0] and "1 MAC = 2 FLOP" in sentences[0] and "LayerNorm at four" in sentences[0]
    # Without a transcript it is the first step: 2 (50 + 2 x 5) MFLOP over 30.
    assert sentences[1].endswith("and the output layer; the true figures are 4.00 times as high.")
    assert "24 d² L" in sentences[1]
    assert sentences[2].endswith("They are too small by a factor of 2.50 to 2.81.")
    assert "MAC printed as FLOP" in sentences[2]
    # Only what was counted is compared, and only where the study asks for it.
    others = text([cell()], study_2025=True, flops=rows[2:])
    assert "by a factor of 2.50 to 2.81" in others and "24 d² L" not in others
    assert "2025" not in text([cell()], flops=rows) and "whisper-small" not in text([cell()], flops=rows)


def test_operations_are_per_segment_missing_ones_say_why() -> None:
    rows = [flops_row(batch_size=4), flops_row("wav2vec2-base-960h"), flops_row("whisper-x", encoder_gmac=None,
            encoder_gflop=None, total_gflop=None, note="the closed formula disagrees")]  # fmt: skip
    by_model = {row["model"]: row for row in per_segment(rows)}
    assert by_model["whisper-base"]["encoder_gflop"] == 80 and by_model["whisper-base"]["decoder_gflop"] == 12
    found = {row["Model"][0]: row for row in table(section([cell()], study_2025=True, flops=rows), "flops")}
    assert found["whisper-base"]["Encoder (GMAC)"][0] == "40.0"
    assert found["whisper-base"]["2025 study, encoder of a window"][0] == "64.0 GFLOP"
    assert found["wav2vec2-base-960h"]["2025 study, encoder of a window"][0] == "180 GMAC"
    assert found["wav2vec2-base-960h"]["Decoder, a step (GFLOP)"] == ("–", "a CTC model has no decoder")
    assert found["whisper-x"]["Encoder (GFLOP)"] == ("–", "the closed formula disagrees")
    assert found["whisper-base"]["Not counted"][0] == "feature extraction, softmax"


def test_saturation_is_given_or_that_it_was_not_reached() -> None:
    cells = [cell(batch_size=b) for b in (1, 2, 4)]
    rows = [
        scaling_row(cells[0], 2, speedup_over_smallest=1.5),
        scaling_row(cell("whisper-tiny.en"), energy_saving_over_smallest=None, bound=None),
    ]
    html = section([*cells, cell("whisper-tiny.en")], scaling=rows)
    found = {row["Model"][0]: row for row in table(html, "scaling")}
    assert found["whisper-base"]["Saturates at batch"][0] == "2"
    assert found["whisper-tiny.en"]["Saturates at batch"] == (
        "not reached up to batch 4",
        "no larger batch was measured",
    )
    assert found["whisper-tiny.en"]["Energy saving (×)"] == ("–", "energy was not measured at both batch sizes")
    assert found["whisper-tiny.en"]["Bottleneck there"] == ("–", "no verdict for that cell")
    shown = text_of(html)
    assert "In 1 of 2 series" in shown
    assert "whisper-base on cpu gains most from batching with 30 s segments: batch 2 gives 1.50 times" in shown
    assert 'href="#cell-whisper-base-fp32-cpu-30s-b2"' in html
    flat = scaling_row(cell(), 1, speedup_over_smallest=1.0)
    assert "No series gains from a larger batch." in text([cell()], scaling=[flat])


def test_2025_study_is_shown_beside_this_run_with_our_stars() -> None:
    rows = example_bottlenecks([cell()]).edlm2025
    assert "2025" not in text([cell()], edlm2025=rows)
    html = section([cell()], study_2025=True, edlm2025=rows)
    assert "This run has a counterpart for 2 of 3 published figures." in text_of(html)
    assert "own formulas reproduce 1 of 1 published counts of operations" in text_of(html)
    found = table(html, "edlm2025")
    assert len(found) == 4
    assert (found[3]["Published in 2025"][0], found[3]["This run"][0]) == ("3/3/4", "5/5/5")
    assert "the rule for star ratings" in found[3]["Differences and reasons"][0]
    assert found[0]["Differences and reasons"][0].startswith("The ranges overlap: another processor")
    assert found[0]["Published in 2025"][0] == "1 040 – 2 086 ms"
    assert found[0]["This run"][0] == "410 – 1 220 ms"
    assert found[1]["This run"] == ("–", "not measured in this run")
    assert (found[2]["Published in 2025"][0], found[2]["By their formula"][0]) == ("59.8 GFLOP", "59.8 GFLOP")
    other = published_row(metric="new_one", published_low=0.170, published_high=0.170, reproduced_low=0.18,
                          reproduced_high=0.18)  # fmt: skip
    html = section([cell()], study_2025=True, edlm2025=[other])
    assert "0 of 1 published counts" in text_of(html) and "new_one" in html


@pytest.mark.parametrize("nasty", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }} {0}"])
def test_strings_of_the_tables_stay_text(nasty: str) -> None:
    cells = [cell(nasty), cell("whisper-base", device="cuda")]
    hostile = {
        "roofline": [*stage_rows(cells[0], "compute"), *stage_rows(cells[1], None, nasty)],
        "ceilings": [row | {"device_name": nasty, "dtype": nasty} for row in ceiling_rows()],
        "operators": [
            *profile_rows(cells[0], trace=f"javascript:{nasty}", operator=nasty, cuda_note=nasty),
            failed_profile(cells[1], nasty),
        ],
        "flops": [flops_row(nasty, note=nasty, not_counted=nasty, checked_against=nasty)],
        "scaling": [scaling_row(cells[0], note=nasty)],
        "edlm2025": [published_row(model=nasty, metric=nasty, unit=nasty, note=nasty)],
    }
    page = rendered(cells, bottlenecks=Bottlenecks(**hostile), drawn=True, report={"study_2025": True})
    parsed = Page(page)
    assert parsed.scripts == 1 and parsed.loads == []
    assert not any(link.startswith("javascript:") for link in parsed.links)


def test_tables_are_read_and_one_that_lacks_a_column_is_an_error(tmp_path: Path) -> None:
    tables = example_bottlenecks(example_cells())
    paths = write_bottlenecks(tmp_path, tables)
    read = Bottlenecks.read(paths)
    assert [row["bound"] for row in read.roofline] == [row["bound"] for row in tables.roofline]
    with pytest.raises(AsrmeterError, match="lacks"):
        Bottlenecks.read({"roofline": paths["scaling"]})


def test_a_disturbed_profile_and_disturbed_ceilings_say_so() -> None:
    one = cell()
    disturbed = [row | {"disturbance": "others were busy"} for row in profile_rows(one)]
    assert "Disturbed (others were busy): do not trust these shares" in text_of(section([one], operators=disturbed))
    slow = [row | {"reason": "may be too low: others were busy"} for row in ceiling_rows()]
    assert "may be too low: others were busy" in text_of(section([one], ceilings=slow))
