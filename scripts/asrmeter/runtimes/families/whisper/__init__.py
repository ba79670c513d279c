"""Whisper: an encoder that hears windows of 30 s, and a decoder that writes text after a prompt."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.vocabulary import DECODER_OTHER
from asrmeter.runtimes.families.base import Family, Parts
from asrmeter.runtimes.families.whisper.vocabulary import END, START, Vocabulary, code_of

if TYPE_CHECKING:
    import numpy as np
    import tokenizers

    from asrmeter.runtimes.families.whisper.operations import WhisperDecoder, WhisperEncoder


class Whisper(Family):
    """OpenAI's models, and those that were distilled from or trained like them."""

    name = "whisper"
    title = "Whisper"
    classes: ClassVar[Mapping[str, str]] = {"whisper": "WhisperForConditionalGeneration"}
    usual_type = "whisper"
    ending, output_part = "ForConditionalGeneration", "decoder"
    has_decoder = True
    window_s: ClassVar[int] = 30
    decoder_range = DECODER_OTHER
    transformers_runtime = "asrmeter.runtimes.transformers.whisper:TransformersWhisper"
    tokenizer_settings: ClassVar[Mapping[str, Any]] = {
        "tokenizer_class": "WhisperTokenizer",
        "model_max_length": 448,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "bos_token": END,
        "unk_token": END,
    }
    parts: ClassVar[tuple[tuple[tuple[str, ...], ...], ...]] = (
        (("tokenizer.json",), ("vocab.json", "merges.txt")),
        (("preprocessor_config.json",), ("processor_config.json",)),
    )
    repeated: ClassVar[tuple[str, ...]] = ("encoder_layers", "decoder_layers")
    sizes: ClassVar[tuple[str, ...]] = (
        *("d_model", "encoder_ffn_dim", "decoder_ffn_dim", "vocab_size"),
        *("num_mel_bins", "max_source_positions", "max_target_positions"),
    )

    def prompt_length(self, generation: Mapping[str, Any]) -> int:
        """Return the number of tokens in the prompt: start, language and task if multilingual, no timestamps."""
        return 4 if generation["is_multilingual"] else 2

    def languages(self, folder: Path) -> tuple[str, ...]:
        """Return the codes of its languages, in the order of the alphabet, English of one that is told none.

        See `Family`. Standard library only.
        """
        try:
            tokens = Vocabulary.of_json((folder / "tokenizer.json").read_bytes())
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            own = saved_generation(folder, config)
            settings = tokens.generation(config["vocab_size"], {k: v for k, v in own.items() if v is not None}, config)
        except (OSError, ValueError, KeyError, AsrmeterError) as error:
            raise AsrmeterError(f"{folder}: does not tell the languages of its model ({error})") from error
        return tuple(sorted(map(code_of, settings["lang_to_id"]))) if settings["is_multilingual"] else ("en",)

    def tokenizer(self, folder: Path) -> "tokenizers.Tokenizer":
        """Return the tokenizer of a folder.

        Raises:
            AsrmeterError: there is none, or it lacks Whisper's special tokens.
        """
        from tokenizers import Tokenizer

        path = folder / "tokenizer.json"
        if not path.exists():
            raise AsrmeterError(f"{folder}: has no tokenizer.json, which says what a Whisper model's tokens spell")
        tokenizer = Tokenizer.from_file(str(path))
        if None in (tokenizer.token_to_id(START), tokenizer.token_to_id(END)):
            raise AsrmeterError(f"{path}: lacks {START} or {END}: it is not the tokenizer of a Whisper model")
        return tokenizer

    def network(self, parts: Parts) -> Any:
        """Return a freshly initialised network whose special tokens come from the tokenizer; see `Family`."""
        from asrmeter.runtimes.families.whisper import folders

        return folders.network(self.network_class(self.usual_type), parts)

    def packaged_state(self, raw: bytes) -> tuple[Mapping[str, "np.ndarray"], Mapping[str, int]]:
        """Return (state dict, architecture) of weights in CTranslate2's format; see `Family`."""
        from asrmeter.runtimes.families.whisper import ctranslate2

        state, architecture = ctranslate2.whisper_state(ctranslate2.read(raw))
        return state | {"proj_out.weight": state["model.decoder.embed_tokens.weight"]}, architecture

    def write_preprocessing(self, parts: Parts, folder: Path) -> None:
        """See `Family`."""
        from asrmeter.runtimes.families.whisper import folders

        super().write_preprocessing(parts, folder)
        folders.write_preprocessing(parts, folder)

    def complete(self, folder: Path) -> None:
        """Add the tokenizer in one file, and ids for generation; see `Family`."""
        from asrmeter.runtimes.families.whisper import folders

        folders.complete(folder)

    def encoder_operations(self, model: Any) -> "WhisperEncoder":
        """See `Family`."""
        from asrmeter.runtimes.families.whisper.operations import WhisperEncoder

        return WhisperEncoder(model)

    def decoder_operations(self, model: Any) -> "WhisperDecoder":
        """See `Family`."""
        from asrmeter.runtimes.families.whisper.operations import WhisperDecoder

        return WhisperDecoder(model)


def saved_generation(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of generation that a folder was saved with; models of 2022 have theirs in config.json."""
    path = folder / "generation_config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else dict(config)


FAMILY = Whisper()
