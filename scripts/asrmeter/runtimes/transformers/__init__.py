"""Whisper and CTC models by transformers."""
