"""A static cache that is allocated once: `generate` makes a new one in each call."""

from typing import Any


def keep_static_caches(model: Any) -> None:
    """Have `model` use static caches again once they are emptied, one for each number of rows and length.

    CUDA graphs depend on it: they read and write at the addresses that they were recorded with.
    """
    make = model._prepare_static_cache
    kept: dict[tuple[int, int], Any] = {}

    def prepare(*, batch_size: int, max_cache_len: int, **others: Any) -> Any:
        shape = (batch_size, max_cache_len)
        if shape in kept:
            kept[shape].reset()
        else:
            kept[shape] = make(batch_size=batch_size, max_cache_len=max_cache_len, **others)
        return kept[shape]

    model._prepare_static_cache = prepare
