"""Which token comes next, and where a window ends: as transformers has it."""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process
from transformers.models.whisper.generation_whisper import WhisperGenerationMixin

from asrmeter.runtimes.families.whisper.decoding import TimestampRules, WindowRules
from asrmeter.runtimes.families.whisper.logit_rules import LogitRules
from asrmeter.runtimes.families.whisper.windowed import heard_of

# Text is below the end; then come a start, the token of no timestamps, and timestamps from 12 on.
END, START, NO_STAMPS, FIRST, N_TOKENS = 8, 9, 11, 12, 30
STAMPS = TimestampRules(NO_STAMPS, FIRST, FIRST + 5)
PROMPT = (START, 10)


def rules(**changes: Any) -> WindowRules:
    return WindowRules(
        **{"prompts": (PROMPT,), "end": END, "suppressed": (3, 10), "suppressed_at_begin": (0, END)}
        | {
            "max_new_tokens": 20,
            **changes,
        }
    )


def processors(of: WindowRules) -> list[Any]:
    """Transformers' own, in its order."""
    found: list[Any] = []
    if of.repetition_penalty != 1:
        found.append(transformers.RepetitionPenaltyLogitsProcessor(of.repetition_penalty))
    if of.no_repeat_ngram_size:
        found.append(transformers.NoRepeatNGramLogitsProcessor(of.no_repeat_ngram_size))
    begin = of.n_prompt
    found.append(transformers.SuppressTokensAtBeginLogitsProcessor(list(of.suppressed_at_begin), begin))
    found.append(transformers.SuppressTokensLogitsProcessor(list(of.suppressed)))
    if of.timestamps:
        config = transformers.GenerationConfig(
            no_timestamps_token_id=NO_STAMPS, eos_token_id=END, max_initial_timestamp_index=5
        )
        found.append(logits_process.WhisperTimeStampLogitsProcessor(config, begin))
    return found


texts = st.lists(st.one_of(st.integers(0, END - 1), st.integers(FIRST, N_TOKENS - 1)), max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    batch=st.integers(0, 6).flatmap(
        lambda n: st.lists(texts.map(lambda t: (t * 7 + [1] * 7)[:n]), min_size=1, max_size=3)
    ),
    seed=st.integers(0, 2**32 - 1),
    timestamps=st.booleans(),
    penalty=st.sampled_from([1.0, 1.3, 0.7]),
    n_gram=st.integers(0, 3),
)
def test_the_token_is_transformers_choice(
    batch: list[list[int]], seed: int, timestamps: bool, penalty: float, n_gram: int
) -> None:
    prompts = tuple((START, 10 - row) for row in range(len(batch)))
    own = rules(
        prompts=prompts,
        timestamps=STAMPS if timestamps else None,
        repetition_penalty=penalty,
        no_repeat_ngram_size=n_gram,
    )
    scores = np.random.default_rng(seed).normal(scale=2, size=(len(batch), N_TOKENS)).astype(np.float32)
    expected, ids = (
        torch.from_numpy(scores.copy()),
        torch.tensor([[*prompt, *text] for prompt, text in zip(prompts, batch, strict=True)]),
    )
    for process in processors(own):
        expected = process(ids, expected)
    chosen = LogitRules(own).choose(scores, batch)
    assert chosen.tolist() == expected.argmax(-1).tolist()
    np.testing.assert_array_equal(np.isinf(scores), torch.isinf(expected).numpy())


def test_rules_that_the_text_does_not_change() -> None:
    assert not rules().depend_on_text
    for changes in ({"timestamps": STAMPS}, {"repetition_penalty": 1.1}, {"no_repeat_ngram_size": 2}):
        assert rules(**changes).depend_on_text


@settings(max_examples=300, deadline=None)
@given(
    tokens=st.lists(st.integers(0, N_TOKENS - 1).filter(lambda token: token != END), min_size=1, max_size=12),
    n=st.integers(1, 3000),
)
def test_a_window_ends_where_transformers_says(tokens: list[int], n: int) -> None:
    segments, n_done = WhisperGenerationMixin._retrieve_segment(
        seek_sequence=torch.tensor(tokens),
        seek_outputs=[{}],
        time_offset=torch.zeros(1, dtype=torch.float64),
        timestamp_begin=FIRST,
        seek_num_frames=torch.tensor([n]),
        time_precision=0.02,
        time_precision_features=0.01,
        input_stride=2,
        prev_idx=0,
        idx=0,
        return_token_timestamps=False,
        decoder_input_ids=torch.tensor([list(PROMPT)]),
    )
    kept = [token for segment in segments for token in segment["tokens"].tolist()]
    assert heard_of(tokens, n, FIRST) == (kept, int(n_done))


@pytest.mark.parametrize(
    ("tokens", "kept", "n_done"),
    [
        ([], [], 3000),
        ([12, 1, 2, 20], [12, 1, 2, 20], 3000),
        ([12, 1, 15, 15, 2, 20, 20, 3], [12, 1, 15, 15, 2, 20, 20], 16),
        ([12, 1, 15, 15, 2, 20], [12, 1, 15, 15, 2, 20], 3000),
    ],
)
def test_what_stays_of_a_window(tokens: list[int], kept: list[int], n_done: int) -> None:
    assert heard_of(tokens, 3000, FIRST) == (kept, n_done)
