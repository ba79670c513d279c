"""What a model computes: multiply-accumulates (MAC) of its parts, counted without its weights. 1 MAC = 2 FLOP."""
