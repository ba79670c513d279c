"""How the file of a converted model is called."""

FILE = "ggml-model.bin"
