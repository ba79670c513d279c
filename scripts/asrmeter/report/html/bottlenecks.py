"""The section on bottlenecks: verdicts with reasons and remedies, ceilings, and batch scaling.

A part that has nothing to say is None, or empty.

`analysis.roofline` says how a bound is found.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.bottlenecks import Bottlenecks, roofline_points, working_sets
from asrmeter.analysis.roofline import DECODER, ENCODER, LOSSES, PASS
from asrmeter.analysis.table_rows import cell_name, cell_of, with_columns
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import MEASURED_STATUS, STAGES
from asrmeter.records.machine_peaks import MachinePeaks
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import (
    NULL,
    cell_links,
    display_name,
    format_count,
    join,
    number,
    percent,
    size,
    truncate_list,
)
from asrmeter.report.html.edlm2025 import comparison_2025
from asrmeter.report.html.flops import operations
from asrmeter.report.html.operators import operators_section
from asrmeter.report.html.table_model import (
    Column,
    Entry,
    Table,
    entry_columns,
    name_columns,
    number_entry,
    quantity,
    table_of,
    text_column,
    text_entry,
    with_note,
)
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext


def bottlenecks_section(cells: Sequence[Row], tables: Bottlenecks, study_2025: bool, words: Words) -> dict[str, Any]:
    """Return everything that the section shows but its figures.

    What sets this run apart from the 2025 study is there if `study_2025` asks for it.
    """
    judged = judged_cells(cells, tables.roofline)
    has_verdicts = any(row["bound"] for row in judged)
    return {
        "summary": summary(judged, words) if has_verdicts else [],
        "advice": advice(judged, words),
        "verdicts": verdicts_table(judged, words) if has_verdicts else None,
        "ceilings": ceilings_table(tables.ceilings, words) if tables.ceilings else None,
        **operators_section(tables.operators, words),
        "operations": operations(tables.flops, study_2025, words),
        "scaling": scaling_section(tables.scaling, words),
        "edlm2025": comparison_2025(tables.edlm2025, cells, words) if study_2025 and tables.edlm2025 else None,
    }


def judged_cells(cells: Sequence[Row], roofline: Iterable[Row]) -> list[Row]:
    """Return each cell with the `roofline` values of its pass, and of its stages with `encoder_` and `decoder_`.

    `why_no_bound` says why there is none, "" where there is one.
    """
    rows = {(cell_of(row), row["stage"]): row for row in roofline}
    judged: list[Row] = []
    for cell in cells:
        whole_pass, encoder, decoder = (rows.get((cell_of(cell), stage)) for stage in (PASS, ENCODER, DECODER))
        found: dict[str, Any] = {}
        for prefix, row in (("", whole_pass), ("encoder_", encoder), ("decoder_", decoder)):
            for name in ("compute_share", "memory_share", "flop_per_byte", "gflop_per_s"):
                found[f"{prefix}{name}"] = row[name] if row else None
        for name in ("bound", *(f"{bound}_time_share" for bound in LOSSES)):
            found[name] = whole_pass[name] if whole_pass else None
        note = whole_pass["note"] if whole_pass else None
        found["why_no_bound"] = "" if found["bound"] else note or cell["reason"] or ""
        judged.append(with_columns(cell, found))
    return judged


def summary(judged: Sequence[Row], words: Words) -> list[dict[str, Any]]:
    """Return which verdict holds for how many cells, and for each device which models differ, with their cells."""
    say = words["bottlenecks"]
    known = [row for row in judged if row["bound"]]
    unknown = [row for row in judged if not row["bound"]]
    text = say["counts"].format(n=len(known), total=len(judged), counts=_counts(known, words))
    sentences: list[dict[str, Any]] = [{"text": text, "evidence": []}]
    for device in sorted({row["device"] for row in known}):
        sentences.append(_of_device([row for row in known if row["device"] == device], device, words))
    if unknown:
        reasons = truncate_list(why_no_bound(unknown, words), words)
        text = say["unknown"].format(n=len(unknown), total=len(judged), reasons=reasons)
        sentences.append({"text": text, "evidence": cell_links(map(cell_name, unknown))})
    return sentences


def why_no_bound(judged: Sequence[Row], words: Words) -> list[str]:
    """Return the reasons why cells have no verdict, each once."""
    missing = words["why_null"]["not_measured"]
    return list(dict.fromkeys(row["why_no_bound"] or missing for row in judged if not row["bound"]))


def advice(judged: Sequence[Row], words: Words) -> list[dict[str, Any]]:
    """Return meaning, remedies and cells for each verdict and device that occurs."""
    found = []
    for limit in LOSSES:
        for device in sorted({row["device"] for row in judged if row["bound"] == limit}):
            cells = [cell_name(row) for row in judged if (row["bound"], row["device"]) == (limit, device)]
            found.append(
                {
                    "title": words["bottlenecks"]["advice_title"].format(
                        verdict=words["bound"][limit], device=device, n=len(cells), total=len(judged)
                    ),
                    "meaning": words["bound_means"][limit],
                    "help": words["bound_help"][f"{limit}_{device}"],
                    "evidence": cell_links(cells),
                }
            )
    return found


def why(row: Row, words: Words) -> str:
    """Return the reason of a cell's verdict, from the shares of its time and how near its stages come to ceilings."""
    limit = row["bound"]
    if not limit:
        return row["why_no_bound"] or words["why_null"]["not_measured"]
    stages = []
    for stage in (ENCODER, DECODER):
        shares = {bound: row[f"{stage}_{bound}_share"] for bound in ("compute", "memory")}
        if None not in shares.values():
            nearest = max(shares, key=lambda bound: shares[bound])
            stages.append(words["bound_why"]["stage"].format(
                stage=words["bound_why"][stage], share=percent(shares[nearest]), ceiling=words["bound"][nearest]
            ))  # fmt: skip
    reason = words["bound_why"][limit].format(share=percent(row[f"{limit}_time_share"]))
    return words["bound_why"]["whole"].format(reason=reason, stages=join(stages)) if stages else reason


def verdicts_table(judged: Sequence[Row], words: Words) -> Table:
    """Return the verdict of every cell and the figures that it comes from."""
    missing = words["why_null"]

    def why_null(row: Row) -> str:
        return row["why_no_bound"] or row["gflop_note"] or missing["not_measured"]

    def why_no_stage(row: Row) -> str:
        return missing["no_decoder"] if row["has_decoder"] is False else why_null(row)

    def verdict(row: Row) -> Entry:
        if not row["bound"]:
            return Entry(NULL, "", row["why_no_bound"] or missing["not_measured"])
        return text_entry(words["bound"][row["bound"]])

    columns = [
        *name_columns(),
        Column("bound", verdict, numeric=False, about=("bound",)),
        quantity("compute_time_share", why_null, scale=100),
        quantity("memory_time_share", why_null, scale=100),
        quantity("overhead_time_share", why_null, scale=100),
        quantity("padding_time_share", why_null, scale=100),
        quantity("gflop_per_sample", why_null),
        quantity("gflop_per_s", why_null),
        quantity("compute_share", why_null, scale=100),
        replace(quantity("encoder_compute_share", why_null, scale=100), about=("compute_share",)),
        replace(quantity("encoder_memory_share", why_null, scale=100), about=("memory_share",)),
        replace(quantity("decoder_compute_share", why_no_stage, scale=100), about=("compute_share",)),
        replace(quantity("decoder_memory_share", why_no_stage, scale=100), about=("memory_share",)),
        quantity("flop_per_byte", why_null),
        text_column("why", lambda row: why(row, words)),
    ]
    return table_of("verdicts", words["bottlenecks"]["verdicts_caption"], columns, judged, words, source="roofline")


def ceilings_table(ceilings: Sequence[Row], words: Words) -> Table:
    """Return peak rates of each device: matrix products by dtype, memory at the smallest and largest working set."""
    devices: dict[tuple[Any, ...], list[Row]] = {}
    for row in ceilings:
        devices.setdefault((str(row["machine_id"]), row["device"], row["threads"] or 0), []).append(row)
    lines = [
        [
            text_entry(with_note(rows[0]["device"], rows[0]["device_name"] or NULL)),
            text_entry(rows[0]["machine_id"] or NULL),
            number_entry(rows[0]["threads"], words["why_null"]["not_measured"], digits=format_count),
            *line,
        ]
        for _, rows in sorted(devices.items())
        for line in _ceilings_of(rows, words)
    ]
    keys = ["device", "machine", "threads", "ceiling", "measured_with", "rate", "unit"]
    columns = entry_columns(keys, {"threads", "rate"})
    return table_of("ceilings", words["ceiling"]["caption"], columns, lines, words)


def _ceilings_of(rows: Sequence[Row], words: Words) -> Iterator[list[Entry]]:
    """Yield what, with what, the rate and its unit, for each ceiling of one device; then why others are missing."""
    say = words["ceiling"]

    def line(what: str, place: str, rate: float | None, unit: str) -> list[Entry]:
        return [text_entry(what), text_entry(place), number_entry(rate, place, 1e-9), text_entry(unit)]

    reached = MachinePeaks.of(rows, *(rows[0][name] for name in ("machine_id", "device", "threads")))
    if reached:
        for dtype in sorted({dtype for dtype, _ in reached.compute}):
            rate = reached.flop_per_s(dtype)
            sizes = [row["matrix_size"] for row in rows if (row["dtype"], row["flop_per_s"]) == (dtype, rate)]
            place = say["matrices"].format(n=sizes[0])
            yield line(say["matmul"].format(dtype=dtype), place, rate, say["gflop_per_s"])
        for n_bytes in working_sets(reached):
            place = say["working_set"].format(size=size(n_bytes, words))
            yield line(say["memory"], place, reached.bytes_per_s(n_bytes), say["gbyte_per_s"])
    # A rate that was reached all the same; the machine may do more.
    reached_while = dict.fromkeys(row["reason"] for row in rows if row["status"] == "ok" and row["reason"])
    for reason in reached_while:
        yield line(say["disturbed"], reason, None, "")
    failed = [row for row in rows if row["flop_per_s"] is None and row["bytes_per_s"] is None]
    for reason in dict.fromkeys(row["reason"] or row["status"] or NULL for row in failed):
        yield line(say["failed"], reason, None, "")


def scaling_section(scaling: Sequence[Row], words: Words) -> dict[str, Any] | None:
    """Return the gain of larger batches: a sentence with its cells, and the table; None if none was measured."""
    say = words["scaling"]
    scaling = sorted(scaling, key=lambda row: [row[name] for name in ("model", "variant", "device", "duration_s")])
    several = [row for row in scaling if len(row["batch_sizes"]) > 1]
    if not several:
        return None
    saturated = [row for row in several if row["saturated"]]
    sentences, evidence = [say["counts"].format(n=len(saturated), total=len(several))], []
    best = max(several, key=lambda row: row["speedup_over_smallest"])
    places = {"first": best["batch_sizes"][0], "batch": best["saturation_batch"]}
    if places["first"] == places["batch"]:
        sentences.append(say["no_gain"])
    else:
        sentences.append(
            say["most"].format(
                name=display_name((best["model"], best["variant"])),
                device=best["device"],
                duration=best["duration_s"],
                speedup=number(best["speedup_over_smallest"]),
                **places,
            )
        )
        evidence = [cell_name({**best, "batch_size": batch}) for batch in places.values()]
    return {"sentences": sentences, "evidence": cell_links(evidence), "table": _scaling_table(scaling, words)}


def _scaling_table(scaling: Sequence[Row], words: Words) -> Table:
    say = words["scaling"]

    def noted(row: Row) -> str:
        return row["note"] or words["why_null"]["not_measured"]

    def saturation(row: Row) -> Entry:
        batch = row["saturation_batch"]
        if row["saturated"]:
            return Entry(str(batch), repr(batch))
        return Entry(with_note(say["not_reached"], say["best_so_far"].format(batch=batch)), "", noted(row))

    model, variant, device, duration_s, _ = name_columns()
    columns = [
        model,
        variant,
        device,
        duration_s,
        text_column("batch_sizes", lambda row: join(map(str, row["batch_sizes"])), "batch_sizes"),
        Column("saturation_batch", saturation, about=("saturation_batch",)),
        quantity("samples_per_s", noted),
        quantity("speedup_over_smallest", noted),
        quantity("energy_saving_over_smallest", lambda row: words["why_null"]["no_energy"]),
        Column("bound_there", lambda row: _limit_entry(row, words), numeric=False),
        text_column("note", lambda row: row["note"] or ""),
    ]
    return table_of("scaling", say["caption"], columns, scaling, words, source="scaling")


def _limit_entry(row: Row, words: Words) -> Entry:
    if row["bound"] is None:
        return Entry(NULL, "", words["why_null"]["no_verdict"])
    return text_entry(words["bound"][row["bound"]])


def _counts(rows: Iterable[Row], words: Words) -> Markup:
    """Return how many cells have which verdict, the most frequent first."""
    counted = Counter(row["bound"] for row in rows)
    ranked = sorted(counted, key=lambda limit: (-counted[limit], LOSSES.index(limit)))
    return join(
        words["bottlenecks"]["count"].format(verdict=words["bound"][limit], n=counted[limit]) for limit in ranked
    )


def _most_frequent(rows: Iterable[Row]) -> set[str]:
    counted = Counter(row["bound"] for row in rows)
    return {limit for limit, n in counted.items() if n == max(counted.values())}


def _of_device(rows: Sequence[Row], device: str, words: Words) -> dict[str, Any]:
    """Return a sentence on the verdicts of a device, and which models have another most frequent one."""
    say = words["bottlenecks"]
    most = _most_frequent(rows)
    by_model: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_model.setdefault((row["model"], row["variant"]), []).append(row)
    differing = {name: own for name, own in sorted(by_model.items()) if _most_frequent(own) != most}
    text = say["most_frequent"].format(
        device=device,
        verdicts=join(words["bound"][limit] for limit in LOSSES if limit in most),
        n=sum(row["bound"] in most for row in rows),
        total=len(rows),
    )
    parts = [
        say["differs"].format(name=display_name(name), counts=_counts(own, words)) for name, own in differing.items()
    ] or [say["none_differs"]]
    evidence = [row for own in differing.values() for row in own] or [row for row in rows if row["bound"] in most]
    return {"text": Markup(" ").join([text, *parts]), "evidence": cell_links(map(cell_name, evidence))}


def roofline_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Name on each device the stage that comes nearest to one of its ceilings."""
    drawn = roofline_points(of.tables.roofline)
    if not drawn:
        return None
    stages = [row for row in drawn if row["compute_share"] is not None]
    if not stages:
        return of.words["bottlenecks"]["no_verdict"], []
    sentences, evidence = [], []
    for device in sorted({row["device"] for row in stages}):
        own = [row for row in stages if row["device"] == device]
        nearest = min(own, key=lambda row: (-max(row["compute_share"], row["memory_share"]), cell_of(row)))
        bound = "compute" if nearest["compute_share"] >= nearest["memory_share"] else "memory"
        sentences.append(
            of.words["takeaway"]["roofline"].format(
                device=device,
                stage=of.words["bound_why"][nearest["stage"]],
                name=display_name((nearest["model"], nearest["variant"])),
                share=percent(nearest[f"{bound}_share"]),
                ceiling=of.words["bound"][bound],
            )
        )
        evidence.append(cell_name(nearest))
    return Markup(" ").join(sentences), evidence


def stages_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Count the cells by their longest stage."""
    measured = [row for row in of.cells if row["status"] in MEASURED_STATUS and row["encoder_s_median"] is not None]
    if not measured:
        return None
    columns = [f"{stage}_s_median" for stage in STAGES]
    longest = {cell_name(row): max(columns, key=lambda column: row[column] or 0.0) for row in measured}
    counted = Counter(longest.values())
    counts = join(
        of.words["takeaway"]["stage_count"].format(stage=of.words["stage"][stage], n=n)
        for stage, n in counted.most_common()
    )
    others = [cell for cell, stage in longest.items() if stage != counted.most_common(1)[0][0]]
    return of.words["takeaway"]["stages"].format(total=len(measured), counts=counts), others or list(longest)
