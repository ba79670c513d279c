"""Small random models as their authors save them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from asrmeter.runtimes.families import ctc, ctc_mel
from asrmeter.runtimes.families.whisper.vocabulary import END, START

VOCABULARY = {token: number for number, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"EATHLO"])}

# As SentencePiece makes them: "▁" stands for a space. The last is the blank.
PIECES = ["<unk>", "▁the", "▁a", "s", "ing", "▁|", "|", "é", "▁he", "llo", "▁", "<pad>"]


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def edit(path: Path, **changes: Any) -> None:
    write(path, json.loads(path.read_text()) | changes)


def ctc_folder(folder: Path, model_type: str, masked: bool, **settings: Any) -> Path:
    """A small random CTC model that emits letters, word delimiters and blanks, no special tokens."""
    kind = ctc.FAMILY.network_class(model_type)
    small = {
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
        **{"conv_dim": [16] * 3, "conv_kernel": [10, 8, 4], "conv_stride": [5, 4, 4], "vocab_size": len(VOCABULARY)},
        **{"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2},
    }
    model = kind(kind.config_class(**small | settings))
    with torch.no_grad():
        model.lm_head.weight *= 20
        model.lm_head.bias[1:4] = -1e4
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=masked).save_pretrained(folder)
    write(folder / "vocab.json", VOCABULARY)
    return folder


def mel_ctc_folder(folder: Path, model_type: str, **settings: Any) -> Path:
    """A small random CTC model that hears log-mel features and emits pieces of words, blanks and special tokens."""
    kind = ctc_mel.FAMILY.network_class(model_type)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, **settings}
    if model_type == "wav2vec2-bert":
        config = kind.config_class(vocab_size=len(VOCABULARY), feature_projection_input_dim=160, **small)
    else:
        blank = len(PIECES) - 1
        config = kind.config_class(vocab_size=len(PIECES), pad_token_id=blank, encoder_config=small)
    model = kind(config)
    extractor = getattr(transformers, ctc_mel.FEATURES[model_type].extractor)()
    head = model.lm_head if model_type == "wav2vec2-bert" else model.ctc_head
    with torch.no_grad():
        head.weight.normal_()
        # What all frames have in common says nothing.
        heard = extractor([torch.randn(48_000).numpy()], sampling_rate=16_000, return_tensors="pt")
        head.bias -= model.eval()(input_features=heard["input_features"]).logits.mean(dim=(0, 1))
        if model_type == "wav2vec2-bert":
            head.bias[1:4] = -1e4
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    if model_type == "wav2vec2-bert":
        write(folder / "vocab.json", VOCABULARY)
        return folder
    pieces = tokenizers.Tokenizer(tokenizers.models.Unigram([(piece, -1.0) for piece in PIECES[:-1]], unk_id=0))
    pieces.add_special_tokens(["<unk>", PIECES[-1]])
    pieces.decoder = tokenizers.decoders.Metaspace()
    pieces.save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", {"pad_token": PIECES[-1], "unk_token": "<unk>"})
    return folder


def whisper_folder(folder: Path, multilingual: bool = True, n_mels: int = 80, **settings: Any) -> Path:
    """A small random Whisper with a vocabulary of the size and order of OpenAI's; each text token is a word."""
    n_text = 50_257 if multilingual else 50_256
    words = {f"w{i}": i for i in range(50_256)} | ({"": 50_256} if multilingual else {})  # as OpenAI's
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    languages = [f"<|{code}|>" for code in LANGUAGES][:99]  # without the one that was added in 2023
    tasks = ["<|translate|>", "<|transcribe|>"]
    others = ["<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens([END, START, *languages, *tasks, *others])
    n_tokens = tokenizer.get_vocab_size() + 1501  # timestamps
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    small = {
        **{"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
        **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_target_positions": 40},
    }
    config = transformers.WhisperConfig(vocab_size=n_tokens, num_mel_bins=n_mels, **small | settings)
    model = transformers.WhisperForConditionalGeneration(config)
    with torch.no_grad():
        # The next token is text and soon changes: timestamps get low scores, positions a large weight.
        model.model.decoder.embed_tokens.weight.normal_()
        model.model.decoder.embed_tokens.weight[n_text:] *= 0.1
        model.model.decoder.embed_positions.weight.normal_(std=4)
    model.save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=n_mels).save_pretrained(folder)
    ids = tokenizer.token_to_id
    generation = {
        "no_timestamps_token_id": ids("<|notimestamps|>"),
        "decoder_start_token_id": ids(START),
        "eos_token_id": ids(END),
        "pad_token_id": ids(END),
        "max_length": 12,
    }
    if multilingual:
        generation["lang_to_id"] = {language: ids(language) for language in languages}
        generation["task_to_id"] = {task.strip("<|>"): ids(task) for task in tasks}
    write(folder / "generation_config.json", generation)
    return folder


def likelier_timestamps(folder: Path, factor: float) -> None:
    """Multiply the scores of a Whisper's timestamps, so that its texts of long audio have several sentences."""
    weights = load_file(folder / "model.safetensors")
    weights["model.decoder.embed_tokens.weight"][-1501:] *= factor
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def that_tells_languages_apart(folder: Path, waveforms: Sequence[np.ndarray], factor: float = 400) -> None:
    """Make the decoder of a Whisper of one layer hear what differs between waveforms, so that languages differ too."""
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder).eval()
    features = transformers.WhisperFeatureExtractor.from_pretrained(folder, return_attention_mask=False)
    (layer,) = model.get_decoder().layers
    linear, heard = layer.encoder_attn.out_proj, list[torch.Tensor]()
    linear.register_forward_hook(lambda _module, _inputs, output: heard.append(output))
    with torch.no_grad():
        model.get_encoder().conv2.weight *= 100  # beside positions
        inputs = features(waveforms, sampling_rate=16_000, return_tensors="pt")
        start = torch.full((len(waveforms), 1), model.generation_config.decoder_start_token_id)
        model(**inputs, decoder_input_ids=start)
        # What all have in common says nothing.
        linear.bias -= heard[0].mean(dim=(0, 1))
        linear.bias *= factor
        linear.weight *= factor
    state = model.state_dict()
    del state["proj_out.weight"]  # that of the embedding
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
