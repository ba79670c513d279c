"""Runtimes: stages add up, and CTC output is collapsed as it should be."""

import time

import pytest

from asrmeter.runtimes.base import STAGES, Timeline
from asrmeter.runtimes.transformers_ctc import ctc_text

LETTERS = dict(enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", "H", "E", "L", "O"]))


def ids(text: str) -> list[int]:
    by_letter = {letter: number for number, letter in LETTERS.items()} | {"_": 0}
    return [by_letter[letter] for letter in text]


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ("HHEELL_LLOO", "HELLO"),  # a blank keeps double letters apart
        ("HELLLLO", "HELO"),
        ("__HE_|_|LO__", "HE LO"),
        ("|HE|", "HE"),
        ("____", ""),
        ("", ""),
    ],
)
def test_ctc_collapse(frames: str, text: str) -> None:
    assert ctc_text(ids(frames), LETTERS, blank=0) == text


def test_ctc_drops_special_tokens() -> None:
    assert ctc_text([1, 5, 3, 6, 2], LETTERS, blank=0) == "HE"


def test_stages_add_up_to_the_pass() -> None:
    timeline = Timeline("cpu")
    begin = time.perf_counter()
    for stage in ("features", "decoder", "encoder", "decoder", "text"):
        timeline.begin(stage)
        time.sleep(0.03)
    timeline.end()
    total = time.perf_counter() - begin
    seconds = timeline.seconds()
    assert tuple(seconds) == STAGES
    assert sum(seconds.values()) == pytest.approx(total, rel=0.01)
    assert seconds["decoder"] > 1.2 * seconds["encoder"]


def test_a_stage_that_did_not_run_took_no_time() -> None:
    timeline = Timeline("cpu")
    timeline.begin("encoder")
    timeline.end()
    assert timeline.seconds()["decoder"] == 0
