"""Where speech comes from. A kind of corpus gives recordings and utterances; `manifest` makes the cached segments."""
