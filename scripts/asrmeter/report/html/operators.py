"""The operators of the profiled cells, in the report: groups by stage, the longest, and what profiling added."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from asrmeter.analysis.bottlenecks import GROUPS, Profile, profiles
from asrmeter.analysis.table_rows import cell_name
from asrmeter.common.table_types import Row
from asrmeter.common.vocabulary import PROFILE_STAGES
from asrmeter.report.catalogue import Words
from asrmeter.report.formatting import anchor, cell_link, format_count, join, number, percent
from asrmeter.report.html.table_model import Entry, Table, entry_columns, number_entry, table_of, text_entry
from asrmeter.report.html.takeaways import Takeaway, TakeawayContext

N_LONGEST = 3
# As many as anyone reads; the table operators has all.
MOST_PROFILES = 20


def operators_section(operators: Sequence[Row], words: Words) -> dict[str, Any]:
    """Return each profiled cell: its sentences and its table, or why its profile failed; and how many are shown."""
    found = profiles(operators)
    shown = found[:MOST_PROFILES]
    note = words["operators"]["shown"].format(n=len(shown), total=len(found)) if len(shown) < len(found) else ""
    cells = [
        {
            "cell": cell_link(cell_name(profile.first)),
            "sentences": _sentences(profile, words),
            "table": None if profile.failed else _table(profile, words),
        }
        for profile in shown
    ]
    return {"operators": cells, "operators_shown": note}


def operators_takeaway(of: TakeawayContext) -> Takeaway | None:
    """Count the profiled cells by their largest group of operators."""
    done = [profile for profile in profiles(of.tables.operators) if not profile.failed]
    if not done:
        return None
    largest = Counter(max(shares, key=lambda group: shares[group]) for shares in map(_shares, done) if shares)
    counts = join(
        of.words["takeaway"]["group_count"].format(group=of.words["group"][group], n=n)
        for group, n in largest.most_common()
    )
    return of.words["takeaway"]["operators"].format(total=len(done), counts=counts), [cell_name(p.first) for p in done]


def _shares(profile: Profile) -> dict[str, float]:
    return profile.by_group(profile.own_share)


def _sentences(profile: Profile, words: Words) -> list[Markup]:
    say = words["operators"]
    if profile.failed:
        reason = profile.first["reason"] or words["why_null"]["not_measured"]
        return [say["failed"].format(status=profile.first["status"], reason=reason)]
    sentences = [_overhead(profile, words)]
    if disturbance := profile.first["disturbance"]:
        sentences.append(say["disturbed"].format(disturbance=disturbance))
    if (coverage := profile.mean("profile_coverage")) is not None:
        sentences.append(say["coverage"].format(share=percent(coverage)))
    if (idle := profile.mean("device_idle_share")) is not None:
        sentences.append(say["idle"].format(share=percent(idle)))
    by_operator = profile.sums(lambda row: (row["operator"], row["group"]), profile.own_share)
    # What runs between operators is none.
    ranked = sorted(by_operator, key=lambda one: (-by_operator[one], one))
    longest = [one for one in ranked if one[1] != "python"][:N_LONGEST]
    if longest:
        named = join(say["operator"].format(name=one[0], share=percent(by_operator[one])) for one in longest)
        sentences.append(say["longest"].format(operators=named, clock=_clock(profile, words)))
    if trace := profile.first["trace"]:
        sentences.append(say["trace"].format(name=trace))
    else:
        sentences.append(say["no_trace"])
    return sentences


def _overhead(profile: Profile, words: Words) -> Markup:
    overhead = profile.mean("overhead")
    if overhead is None:
        return words["operators"]["no_plain"]
    return words["operators"]["longer" if overhead >= 0 else "shorter"].format(
        share=percent(abs(overhead)),
        profiled=number(profile.mean("pass_s")),
        plain=number(profile.mean("plain_pass_s")),
    )


def _clock(profile: Profile, words: Words) -> Markup:
    return words["operators"]["cuda_clock" if profile.own_share == "cuda_share" else "cpu_clock"]


def _table(profile: Profile, words: Words) -> Table:
    """Return the groups of operators, the largest first, with their share of the whole and of each stage."""
    own = profile.own_share
    shares = {column: profile.by_group(column) for column in ("cpu_share", "cuda_share")}
    calls = profile.by_group("n_calls")
    in_stage = profile.sums(lambda row: (row["group"], row["stage"]), own)
    stages = [stage for stage in PROFILE_STAGES if any(stage == one for _, one in in_stage)]
    groups = sorted(shares[own], key=lambda group: (-shares[own][group], GROUPS.index(group)))
    why_null = {
        "cpu_share": words["why_null"]["not_measured"],
        "cuda_share": profile.first["cuda_note"]
        or words["why_null"]["no_gpu" if profile.first["device"] == "cpu" else "not_measured"],
    }

    def entry(values: dict[str, float], key: str, why: str) -> Entry:
        return number_entry(values.get(key, 0.0) if values else None, why, 100)

    lines = [
        [
            text_entry(words["group"][group]),
            number_entry(calls.get(group), words["why_null"]["no_operator"], digits=format_count),
            *(entry(shares[column], group, why_null[column]) for column in shares),
            *(number_entry(in_stage.get((group, stage), 0.0), "", 100) for stage in stages),
        ]
        for group in groups
    ]
    lines.append(
        [
            text_entry(words["group"]["all"]),
            number_entry(sum(calls.values()), "", digits=format_count),
            *(
                number_entry(math.fsum(values.values()) if values else None, why_null[column], 100)
                for column, values in shares.items()
            ),
            *(
                number_entry(math.fsum(in_stage.get((group, stage), 0.0) for group in groups), "", 100)
                for stage in stages
            ),
        ]
    )
    caption = words["operators"]["caption"].format(cell=cell_name(profile.first), clock=_clock(profile, words))
    name = f"operators-{anchor(cell_name(profile.first))}"
    keys = ["group", "n_calls", "cpu_share", "cuda_share", *stages]
    return table_of(name, caption, entry_columns(keys, keys[1:]), lines, words)
