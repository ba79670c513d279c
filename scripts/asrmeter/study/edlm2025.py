"""The grid of the 2025 study on which asrmeter is based."""

MODELS = ("whisper-tiny", "whisper-base", "whisper-small", "whisper-medium", "wav2vec2-base-960h")
DURATIONS_S = (5, 15, 30, 60)
