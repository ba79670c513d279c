"""Transcribe a folder in any language by a plain loop over transformers, and score it, to check asrmeter against.

    python tests/check/plain_language.py results/models/whisper-base speech --language ru

`speech` has a metadata.csv with `file_name` and `text`. Without --language the model finds it out. This imports nothing
of asrmeter. Clips are of 30 s at most.
"""

import argparse
import csv
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import jiwer
import librosa
import numpy as np

SAMPLE_RATE_HZ = 16_000


def metadata(folder: Path) -> list[tuple[Path, str]]:
    """Return the audio files of a folder with their texts."""
    with open(folder / "metadata.csv", encoding="utf-8", newline="") as rows:
        return [(folder / row["file_name"], row["text"]) for row in csv.DictReader(rows)]


def waveforms(files: Sequence[Path]) -> list[np.ndarray]:
    """Return the samples of audio files, float32, 16 kHz."""
    return [librosa.load(file, sr=SAMPLE_RATE_HZ, mono=True)[0] for file in files]


def transcribe(model_folder: Path, clips: Sequence[np.ndarray], language: str | None, batch_size: int = 8) -> list[str]:
    """Return the texts of clips by greedy decoding, in batches by length; without a language, the model finds it."""
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    processor = WhisperProcessor.from_pretrained(model_folder, local_files_only=True)
    model = WhisperForConditionalGeneration.from_pretrained(model_folder, local_files_only=True).eval()
    texts = [""] * len(clips)
    by_length = sorted(range(len(clips)), key=lambda i: len(clips[i]))
    for begin in range(0, len(clips), batch_size):
        batch = by_length[begin : begin + batch_size]
        inputs = processor([clips[i] for i in batch], sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            tokens = model.generate(**inputs, language=language, task="transcribe", do_sample=False, num_beams=1)
        for i, text in zip(batch, processor.batch_decode(tokens, skip_special_tokens=True), strict=True):
            texts[i] = text.strip()
    return texts


def normalised(text: str) -> str:
    """Return a text in lower case, without punctuation, with ё as е."""
    return " ".join(re.findall(r"\w+", text.lower().replace("ё", "е")))


def wer(references: Sequence[str], texts: Sequence[str]) -> float:
    """Return the word error rate of all texts together."""
    return float(jiwer.wer([normalised(text) for text in references], [normalised(text) for text in texts]))


def cer(references: Sequence[str], texts: Sequence[str]) -> float:
    """Return the character error rate of all texts together."""
    return float(jiwer.cer([normalised(text) for text in references], [normalised(text) for text in texts]))


def main() -> None:
    """Read the command line, print each text beside its reference, and the error rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the folder of a Whisper")
    parser.add_argument("speech", type=Path, help="the folder of the audio, with metadata.csv")
    parser.add_argument("--language", help="what the model is told (ISO 639-1)")
    args = parser.parse_args()
    files, references = zip(*metadata(args.speech), strict=True)
    texts = transcribe(args.model, waveforms(files), args.language)
    for file, reference, text in zip(files, references, texts, strict=True):
        sys.stdout.write(f"{file}\n  {reference}\n  {text}\n")
    print(f"WER {wer(references, texts):.1%}, CER {cer(references, texts):.1%}, {len(texts)} clips")


if __name__ == "__main__":
    main()
