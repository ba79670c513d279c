"""Model folders: made from packaged or random weights, pinned, safetensors only, with their provenance."""
