"""How features reach the device: as they are, from pinned memory, or half of a batch while the other half is heard."""

from collections.abc import Callable, Iterator, Mapping

import torch

Tensors = Mapping[str, torch.Tensor]


def pinned(inputs: Tensors, device: torch.device) -> dict[str, torch.Tensor]:
    """Copy tensors to a GPU from pinned memory; nobody waits until they are there but what reads them."""
    return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in inputs.items()}


class OverlappedCopies:
    """Copies the parts of a batch in a stream of their own.

    Attributes:
        n_parts: how many parts a batch has, if it has so many rows.
    """

    n_parts = 2

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def parts(self, inputs: Tensors) -> Iterator[dict[str, torch.Tensor]]:
        """Return the parts of a batch on the GPU; what computes waits for its own part alone."""
        names, tensors = list(inputs), list(inputs.values())
        chunks = zip(*(tensor.chunk(self.n_parts) for tensor in tensors), strict=True)
        copied = [self.copy(dict(zip(names, chunk, strict=True))) for chunk in chunks]
        for part, wait in copied:
            wait()
            yield part

    def copy(self, part: Tensors) -> tuple[dict[str, torch.Tensor], Callable[[], None]]:
        """Begin to copy a part; return it, and what makes the current stream wait until it is there."""
        with torch.cuda.stream(self._stream):
            there = pinned(part, self._device)
            done = self._stream.record_event()

        def wait() -> None:
            current = torch.cuda.current_stream(self._device)
            current.wait_event(done)
            for tensor in there.values():
                tensor.record_stream(current)

        return there, wait
