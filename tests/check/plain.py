"""A plain loop over passes, as anyone would write it with a runtime's library, to check asrmeter against.

This imports nothing of asrmeter. Run as a process it reads a JSON list of cells (see `cell`) from standard input,
makes their passes in one loop, and writes a JSON line for each cell: the `seconds` and the `texts` of its passes, and
the `peak_rss_bytes` of the first one after the warm-up.
"""

import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE_RATE_HZ = 16_000
WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ
# Runtimes whose plain model is in a module of its own.
_OTHERS = {
    "ctranslate2": "plain_ctranslate2",
    "faster_whisper": "plain_faster_whisper",
    "onnxruntime": "plain_graphs",
    "openvino": "plain_graphs",
    "whispercpp": "plain_whispercpp",
}
WARM_UP_SAMPLES = 5 * SAMPLE_RATE_HZ


def cell(results: Path, header: Any, passes: Iterable[list[str]], n_warm_up: int = 0) -> dict[str, Any]:
    """Return a cell as the process gets it: which model to load, how, and the segment ids of each pass.

    `header` is that of the cell's record in the folder `results`. Before all others come `n_warm_up` passes over the
    first of them, of which they hear the beginning.

    Raises:
        SystemExit: a model is told other than one language.
    """
    segments = results / "corpus" / header.corpus / "segments.json"
    told = {row["language_told"] for row in json.loads(segments.read_text())}
    if len(told) != 1 or None in told:
        raise SystemExit("the plain scripts run speech of one language, which models are told")
    conversion = header.conversion["format"] if header.conversion else None
    return {
        "model_folder": str(results / "models" / header.model),
        "converted_folder": str(results / "converted" / header.model / conversion) if conversion else None,
        "segments": str(segments),
        "language": told.pop(),
        "passes": list(passes),
        "n_warm_up": n_warm_up,
    } | {key: getattr(header, key) for key in ("family", "weights", "options", "device", "threads")}


def run(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the passes of cells in one new process; return what it wrote about each.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run([sys.executable, __file__], input=json.dumps(cells), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the plain loop ended with exit code {done.returncode}:\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def speech(segments: Path, ids: Iterable[str]) -> dict[str, tuple[np.ndarray, str]]:
    """Return waveform (float32, 16 kHz) and text of segments of a corpus, given its segments.json."""
    import soundfile

    rows = {row["segment_id"]: row for row in json.loads(segments.read_text())}
    return {
        i: (soundfile.read(segments.parent / rows[i]["path"], dtype="float32")[0], rows[i]["text"]) for i in set(ids)
    }


class Plain:
    """A model by transformers, with asrmeter's decoding: greedy, and sequential beyond 30 s."""

    def __init__(self, cell: dict[str, Any]) -> None:
        import torch
        from transformers import AutoProcessor, Wav2Vec2ForCTC, WhisperForConditionalGeneration

        torch.set_num_threads(cell["threads"])
        self._is_whisper, self._is_random = cell["family"] == "whisper", cell["weights"] == "random"
        self._processor = AutoProcessor.from_pretrained(cell["model_folder"], local_files_only=True)
        self._model = (WhisperForConditionalGeneration if self._is_whisper else Wav2Vec2ForCTC).from_pretrained(
            cell["model_folder"],
            dtype=getattr(torch, cell["options"]["dtype"]),
            attn_implementation=cell["options"]["attention"],
            local_files_only=True,
        )
        self._model.to(cell["device"]).eval()
        self._decoding: dict[str, Any] = {"do_sample": False, "num_beams": 1}
        if self._is_whisper and self._model.generation_config.is_multilingual:
            self._decoding |= {"language": cell["language"], "task": "transcribe"}

    def transcribe(self, waveforms: list[np.ndarray], references: list[str]) -> list[str]:
        """Return the texts of a batch; random weights are given as many tokens as `references` have."""
        import torch

        with torch.inference_mode():
            if not self._is_whisper:
                return self._ctc(waveforms)
            if self._is_random:
                return self._fixed_work(waveforms, references)
            if max(map(len, waveforms)) <= WINDOW_SAMPLES:
                return self._generate(self._inputs(waveforms))
            inputs = self._inputs(waveforms, padding="longest", truncation=False, return_attention_mask=True)
            return self._generate(inputs, return_timestamps=True)

    def _ctc(self, waveforms: list[np.ndarray]) -> list[str]:
        import torch

        tokens = self._model(**self._inputs(waveforms, padding=True)).logits.argmax(dim=-1)
        # The output for the padding of shorter segments is not part of their text.
        n_frames = self._model._get_feat_extract_output_lengths(torch.tensor([len(w) for w in waveforms]))
        texts = self._processor.batch_decode([row[:n] for row, n in zip(tokens, n_frames, strict=True)])
        return [" ".join(re.sub("<.+?>", "", text).split()) for text in texts]

    def _fixed_work(self, waveforms: list[np.ndarray], references: list[str]) -> list[str]:
        """Generate a fixed number of tokens, as random weights never stop: a share of the longest text a window."""
        n_windows = -(-max(map(len, waveforms)) // WINDOW_SAMPLES)
        n_tokens = -(-max(len(self._processor.tokenizer(text).input_ids) for text in references) // n_windows)
        parts = []
        for begin in range(0, n_windows * WINDOW_SAMPLES, WINDOW_SAMPLES):
            inputs = self._inputs([waveform[begin : begin + WINDOW_SAMPLES] for waveform in waveforms])
            parts.append(self._generate(inputs, min_new_tokens=n_tokens, max_new_tokens=n_tokens))
        return [" ".join(texts).strip() for texts in zip(*parts, strict=True)]

    def _inputs(self, waveforms: list[np.ndarray], **options: Any) -> Any:
        inputs = self._processor(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", **options)
        return inputs.to(self._model.device, self._model.dtype)

    def _generate(self, inputs: Any, **options: Any) -> list[str]:
        tokens = self._model.generate(**inputs, **self._decoding, **options)
        return [text.strip() for text in self._processor.batch_decode(tokens, skip_special_tokens=True)]


def model_of(cell: dict[str, Any]) -> Any:
    """Load the model of a cell by the library of its runtime."""
    module = _OTHERS.get(cell["options"]["runtime"])
    if module is None:
        return Plain(cell)
    sys.path.append(str(Path(__file__).parent))
    return importlib.import_module(module).Plain(cell)


def reset_peak() -> None:
    """Begin a new peak of this process's memory."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_rss_bytes() -> int:
    """Return the peak of this process's memory."""
    found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def main() -> None:
    """Read cells, make their passes, write what came out."""
    loaded, model = None, None
    for cell in json.load(sys.stdin):
        wanted = cell["model_folder"], cell["options"], cell["device"]
        if model is None or wanted != loaded:
            loaded, model = wanted, model_of(cell)
        segments = speech(Path(cell["segments"]), itertools.chain(*cell["passes"]))
        found: dict[str, Any] = {"seconds": [], "texts": []}
        for _ in range(cell["n_warm_up"]):
            beginnings = [segments[i][0][:WARM_UP_SAMPLES] for i in cell["passes"][0]]
            model.transcribe(beginnings, ["a few words"] * len(beginnings))
        reset_peak()
        for ids in cell["passes"]:
            waveforms, references = ([segments[i][part] for i in ids] for part in (0, 1))
            begin = time.perf_counter()
            texts = model.transcribe(waveforms, references)
            found["seconds"].append(time.perf_counter() - begin)
            found["texts"].append(texts)
            found.setdefault("peak_rss_bytes", peak_rss_bytes())
        print(json.dumps(found), flush=True)
    os._exit(0)  # tearing torch down takes a second


if __name__ == "__main__":
    main()
