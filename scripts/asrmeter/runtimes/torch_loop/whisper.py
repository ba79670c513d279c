"""Transformers' network of a Whisper as the backend of a greedy loop."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.models.whisper.modeling_whisper import WhisperForConditionalGeneration

from asrmeter.common.vocabulary import DecoderWork
from asrmeter.runtimes.base import Hypothesis, Setup, SpeechBatch, Timeline
from asrmeter.runtimes.families.whisper.decoding import WindowRules
from asrmeter.runtimes.families.whisper.greedy import GreedyWhisper, Heard
from asrmeter.runtimes.transformers.loading import network
from asrmeter.runtimes.transformers.torch_runtime import TorchRuntime


@dataclass
class State:
    """The encoder's output, and the decoder's keys and values."""

    encoded: torch.Tensor
    caches: EncoderDecoderCache


class TorchBackend:
    """Runs encoder and decoder of a network."""

    def __init__(self, model: Any) -> None:
        self._model, self._encoder, self._decoder = model, model.get_encoder(), model.get_decoder()

    def encode(self, features: np.ndarray) -> State:
        """See `greedy.Backend`."""
        heard = torch.from_numpy(features).to(self._model.device, self._model.dtype)
        return State(self._encoder(heard).last_hidden_state, EncoderDecoderCache(DynamicCache(), DynamicCache()))

    def scores(self, state: State, tokens: torch.Tensor) -> torch.Tensor:
        """Return the float32 scores of the token after the last one, on the model's device."""
        decoded = self._decoder(
            input_ids=tokens, encoder_hidden_states=state.encoded, past_key_values=state.caches, use_cache=True
        )
        scores: torch.Tensor = self._model.proj_out(decoded.last_hidden_state[:, -1])
        return scores.float()

    def step(self, state: State, tokens: np.ndarray, n_past: int) -> np.ndarray:
        """See `greedy.Backend`."""
        found: np.ndarray = self.scores(state, torch.from_numpy(tokens).to(self._model.device)).cpu().numpy()
        return found


class TorchLoopWhisper(TorchRuntime, GreedyWhisper):
    """A Whisper model; see `Runtime`."""

    backend: TorchBackend

    def __init__(self, setup: Setup) -> None:
        TorchRuntime.__init__(self, setup)
        GreedyWhisper.__init__(self, setup)
        self.model = network(
            WhisperForConditionalGeneration, replace(setup, options={**setup.options, "attention": "sdpa"})
        )
        self.head = self.model.proj_out
        self.attention = self.model.config._attn_implementation
        self.backend = TorchBackend(self.model)
        self._end_check_every: int = setup.options["end_check_every"]

    @torch.inference_mode()
    def transcribe(self, speech: SpeechBatch, timeline: Timeline) -> list[Hypothesis]:
        """See `Runtime`."""
        return super().transcribe(speech, timeline)

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`."""
        return ("features",)

    def write(self, state: Heard, rules: WindowRules, work: DecoderWork | None) -> list[list[int]]:
        """See `GreedyWhisper`; where the text does not matter to what may follow it, tokens stay on the device."""
        if rules.depend_on_text:
            return super().write(state, rules, work)
        device, n_rows = self.model.device, len(rules.prompts)
        never = torch.tensor(rules.suppressed, dtype=torch.int64, device=device)
        never_first = torch.tensor(rules.suppressed_at_begin, dtype=torch.int64, device=device)
        tokens = torch.tensor(rules.prompts, device=device)[:, state.n_past :]
        written: list[torch.Tensor] = []
        over = torch.zeros(n_rows, dtype=torch.bool, device=device)
        for n_written in range(1, rules.max_new_tokens + 1):
            if work is not None:
                work.add(n_rows, tokens.shape[1], state.n_past)
            scores = self.backend.scores(state.state, tokens).index_fill_(1, never, -torch.inf)
            if not written:
                scores.index_fill_(1, never_first, -torch.inf)
            state.n_past += tokens.shape[1]
            tokens = scores.argmax(dim=1, keepdim=True)
            written.append(tokens)
            over |= tokens[:, 0] == rules.end
            if n_written % self._end_check_every == 0 and bool(over.all()):
                break
        rows = torch.cat(written, dim=1).tolist() if written else [[] for _ in range(n_rows)]
        return [row[: row.index(rules.end)] if rules.end in row else row for row in rows]
