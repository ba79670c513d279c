"""Rows of the cells table as settings."""

from tables_for_tests import cell

from asrmeter.settings import settings_of
from asrmeter.stats import Estimate


def test_a_setting_knows_its_wer_unless_weights_are_random_or_nothing_was_scored() -> None:
    one = cell(wer=0.06, wer_ci_low=0.05, wer_ci_high=0.08)
    assert settings_of([one])[0].wer == Estimate(0.06, 0.05, 0.08)
    assert settings_of([one | {"weights": "random"}])[0].wer is None
    assert settings_of([cell(wer=None)])[0].wer is None
    assert settings_of([cell(wer=0.0, wer_ci_low=None, wer_ci_high=None)])[0].wer == Estimate(0.0)


def test_the_memory_of_a_setting_is_that_of_its_device() -> None:
    on_cpu = cell(peak_rss_bytes=2e9, peak_device_bytes=None)
    on_cuda = cell(device="cuda", peak_rss_bytes=2e9, peak_device_bytes=3e9)
    assert [setting.memory_bytes for setting in settings_of([on_cpu, on_cuda])] == [2_000_000_000, 3_000_000_000]
    assert settings_of([cell(device="cuda", peak_device_bytes=None)])[0].memory_bytes is None
