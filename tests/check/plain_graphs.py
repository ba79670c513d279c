"""Whisper by ONNX Runtime and OpenVINO as anyone would write it, to check asrmeter against: nothing of it is imported.

Both run the graphs that the cell's conversion made, with a greedy loop, without timestamps.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from plain_ctranslate2 import WINDOW_SAMPLES, filters, log_mel

LONGEST_TOKENS = 448


class Plain:
    """A model by an engine of graphs."""

    def __init__(self, cell: dict[str, Any]) -> None:
        import tokenizers

        if cell["family"] != "whisper" or cell["weights"] == "random" or cell["device"] != "cpu":
            raise SystemExit("the plain script runs a Whisper with its own weights, on the CPU only")
        folder = Path(cell["model_folder"])
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._settings = json.loads((folder / "generation_config.json").read_text())
        told = [f"<|{cell['language']}|>", "<|transcribe|>"] if self._settings["is_multilingual"] else []
        words = ["<|startoftranscript|>", *told]
        self._prompt = [self._tokenizer.token_to_id(word) for word in [*words, "<|notimestamps|>"]]
        self._end = self._tokenizer.token_to_id("<|endoftext|>")
        self._filters = filters(json.loads((folder / "preprocessor_config.json").read_text())["feature_size"])
        self._graphs: Any = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}[cell["options"]["runtime"]](cell)

    def transcribe(self, waveforms: list[np.ndarray], _references: list[str]) -> list[str]:
        """Return the texts of a batch."""
        if max(map(len, waveforms)) > WINDOW_SAMPLES:
            raise SystemExit("the plain script runs segments up to 30 s only")
        features = np.stack([log_mel(waveform, self._filters) for waveform in waveforms]).astype(np.float32)
        self._graphs.encode(features)
        tokens, texts = np.array([self._prompt] * len(waveforms)), []
        while len(texts) < LONGEST_TOKENS - len(self._prompt):
            scores = self._graphs.step(tokens)
            scores[:, self._settings.get("suppress_tokens") or []] = -np.inf
            if not texts:
                scores[:, self._settings.get("begin_suppress_tokens") or []] = -np.inf
            tokens = scores.argmax(axis=1)[:, None]
            texts.append(tokens[:, 0])
            if all(self._end in row for row in np.array(texts).T):
                break
        rows = [row.tolist() for row in np.array(texts).T]
        ended = [row[: row.index(self._end)] if self._end in row else row for row in rows]
        return [self._tokenizer.decode(row).strip() for row in ended]


class OnnxRuntime:
    """The graphs of onnxruntime-genai's builder."""

    def __init__(self, cell: dict[str, Any]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cell["threads"]
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._new = onnxruntime.OrtValue.ortvalue_from_numpy
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(f"{cell['converted_folder']}/{name}.onnx", options, ["CPUExecutionProvider"])
            for name in ("encoder", "decoder")
        )
        self._caches: dict[str, Any] = {}

    def encode(self, features: np.ndarray) -> None:
        """Run the encoder; the caches of the decoder are empty."""
        made = self._run(self._encoder, {"audio_features": self._new(features)})
        self._caches = {name.replace("present_", "past_"): value for name, value in made.items() if "cross" in name}
        for place in self._decoder.get_inputs():
            if "_self_" in place.name:
                empty = np.zeros((len(features), place.shape[1], 0, place.shape[3]), np.float32)
                self._caches[place.name] = self._new(empty)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Return the scores of the next token."""
        made = self._run(self._decoder, {"input_ids": self._new(tokens.astype(np.int32))} | self._caches)
        scores: np.ndarray = made.pop("logits").numpy()[:, -1]
        self._caches |= {name.replace("present_", "past_"): value for name, value in made.items()}
        return scores

    @staticmethod
    def _run(session: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        names = [place.name for place in session.get_outputs()]
        return dict(zip(names, session.run_with_ort_values(names, inputs), strict=True))


class OpenVino:
    """Graphs of which the decoder keeps its caches."""

    def __init__(self, cell: dict[str, Any]) -> None:
        import openvino

        settings = {
            **{"INFERENCE_NUM_THREADS": cell["threads"], "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"},
            **{"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "ENABLE_CPU_PINNING": False},
        }
        core, folder = openvino.Core(), cell["converted_folder"]
        self._encoder, self._decoder = (
            core.compile_model(f"{folder}/{name}.xml", "CPU", settings).create_infer_request()
            for name in ("encoder", "decoder")
        )
        self._heard: dict[str, Any] = {}

    def encode(self, features: np.ndarray) -> None:
        """Run the encoder; the caches of the decoder are empty."""
        made = self._encoder.infer({"features": features}, share_outputs=True)
        self._heard = {name: value for place, value in made.items() for name in place.names}
        self._heard["rows"] = np.arange(len(features), dtype=np.int32)
        self._decoder.reset_state()

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Return the scores of the next token."""
        made = self._decoder.infer({"tokens": tokens} | self._heard, share_inputs=True)
        scores: np.ndarray = made["scores"]
        return scores
