"""The Pareto front of WER, latency and energy, on constructed settings."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asrmeter.analysis import pareto
from asrmeter.analysis.results import CellResult, results_of
from asrmeter.analysis.unmeasured import unmeasured_of
from helpers.tables import cell


def row(model: str, wer: float, latency_s: float, joules: float | None = 1.0, **changes: Any) -> dict[str, Any]:
    """Return a cell with intervals of 10 % for its WER and 1 % for its latency."""
    return cell(
        model,
        **{
            "wer": wer,
            "wer_ci_low": wer * 0.95,
            "wer_ci_high": wer * 1.05,
            "latency_s_median": latency_s,
            "latency_s_ci_low": latency_s * 0.995,
            "latency_s_ci_high": latency_s * 1.005,
            "rtfx": 30 / latency_s,
            "energy_j_per_sample": joules,
        }
        | changes,
    )


def found(*rows: dict[str, Any]) -> pareto.Front:
    return pareto.front(results_of(rows), unmeasured_of(rows))


def models(results: tuple[CellResult, ...]) -> list[str]:
    return [result.model for result in results]


def test_who_is_beaten_in_all_is_left_behind_and_trade_offs_stay() -> None:
    front = found(row("exact", 0.04, 2.0, 9.0), row("fast", 0.09, 0.5, 2.0), row("bad", 0.1, 2.5, 10.0))
    assert (models(front.members), models(front.dominated)) == (["exact", "fast"], ["bad"])
    assert front.duration_s == 30 and front.with_energy


def test_ties_inside_intervals_or_noise_floor_stay() -> None:
    assert models(found(row("a", 0.040, 1.0), row("b", 0.041, 1.001)).members) == ["a", "b"]
    # Clear by interval, but within the noise floor of 1.2 %.
    assert models(found(row("a", 0.04, 1.0), row("b", 0.04, 1.011)).members) == ["a", "b"]
    assert models(found(row("a", 0.04, 1.0), row("b", 0.04, 1.1)).members) == ["a"]


def test_a_setting_without_an_interval_leaves_nobody_behind() -> None:
    bare = row("a", 0.04, 1.0, wer_ci_low=None, latency_s_ci_low=None, energy_j_per_sample=None)
    assert models(found(bare, row("b", 0.09, 2.0, None)).members) == ["a", "b"]


def test_energy_is_an_objective() -> None:
    frugal = row("frugal", 0.06, 2.0, 1.0)
    assert "frugal" in models(found(row("fast", 0.06, 1.0, 5.0), frugal).members)
    without = found(row("fast", 0.06, 1.0, None), frugal | {"energy_j_per_sample": None})
    assert models(without.members) == ["fast"] and not without.with_energy


def test_measured_and_modelled_energies_are_not_compared() -> None:
    measured = row("measured", 0.06, 1.0, 50.0, device="cuda")
    modelled = row("modelled", 0.06, 2.0, 1.0)
    front = found(measured, modelled)
    assert models(front.members) == ["measured"]
    assert list(front.energies) == [front.members[0]]


def test_only_the_usual_class_and_only_what_has_a_wer_take_part() -> None:
    front = found(
        row("a", 0.06, 1.0), row("a", 0.01, 0.1, duration_s=5), row("b", 0.01, 0.1, weights="random"), cell(wer=None)
    )
    assert (front.duration_s, models(front.members), front.dominated) == (30, ["a"], ())
    assert found(cell(wer=None)) == pareto.Front(None, (), (), {}, unplaced=("whisper-base/fp32/cpu/30s-b1",))


LEVELS = st.sampled_from([1.0, 1.005, 1.02, 1.5, 3.0])


@given(st.lists(st.tuples(LEVELS, LEVELS, LEVELS, st.sampled_from(["cpu", "cuda"])), min_size=1, max_size=12))
def test_the_front_is_never_empty_and_everyone_else_is_beaten(drawn: list[tuple[float, float, float, str]]) -> None:
    rows = [row(f"m{i}", 0.05 * w, s, e, device=d) for i, (w, s, e, d) in enumerate(drawn)]
    front = found(*rows)
    assert front.members and len(front.members) + len(front.dominated) == len(rows)
    lowest = min(result.wer.value for result in (*front.members, *front.dominated) if result.wer)
    assert any(result.wer and result.wer.value == lowest for result in front.members)
    everyone = (*front.members, *front.dominated)
    for beaten in front.dominated:
        assert any(
            one.wer and beaten.wer and one.wer.value <= beaten.wer.value and one.latency.value <= beaten.latency.value
            for one in everyone
            if one is not beaten
        )
