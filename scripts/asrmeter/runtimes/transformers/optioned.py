"""What the options of a study change in a network that transformers has loaded."""

import importlib.metadata
from dataclasses import replace
from typing import Any

import torch

from asrmeter.runtimes.base import Effective, Setup, UnsupportedError
from asrmeter.runtimes.transformers import quantisation
from asrmeter.runtimes.transformers.compilation import Compilation
from asrmeter.runtimes.transformers.options import TransformersOptions
from asrmeter.runtimes.transformers.torch_runtime import TorchRuntime
from asrmeter.runtimes.transformers.transfers import OverlappedCopies, pinned


class OptionedRuntime(TorchRuntime):
    """A runtime that takes all options of `TransformersOptions`.

    Attributes:
        options: those of the variant.
        overlapped: what copies the parts of a batch, None if a batch is copied at once.
    """

    options: TransformersOptions
    overlapped: OverlappedCopies | None = None

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        self.options = TransformersOptions(**setup.options)
        if why := self.options.why_not(setup.family, setup.device, self.host()):
            raise UnsupportedError(why)
        self._compilation = Compilation(setup) if self.options.compiles else None

    def apply(self, encoder: Any, decoder: Any) -> Compilation | None:
        """Apply the options to the parts of `model`; return what compiles them if they are to be compiled."""
        options = self.options
        if options.encoder_dtype != options.dtype:
            encoder.to(getattr(torch, options.encoder_dtype))
        if options.decoder_dtype != options.dtype:
            for module in (decoder, self.head):
                module.to(getattr(torch, options.decoder_dtype))
        if options.encoder_dtype != options.decoder_dtype:
            encoder.register_forward_hook(_cast_to(getattr(torch, options.decoder_dtype)))
        quantisation.quantise(self.model, options.quantisation)
        if options.transfers == "overlapped":
            self.overlapped = OverlappedCopies(self.model.device)
        return self._compilation if options.compile != "none" else None

    def apply_to_ctc(self, encoder: Any) -> None:
        """Apply the options to a CTC model; what is compiled takes any length, as each batch has its own."""
        if compilation := self.apply(encoder, self.head):
            encoder.forward = compilation.of_any_shape(encoder.forward)

    def on_device(self, inputs: Any) -> dict[str, torch.Tensor]:
        """Return features where the model is; where parts of a batch are copied, on the host."""
        if self.overlapped:
            return dict(inputs)
        if self.options.transfers == "pinned":
            return pinned(inputs, self.model.device)
        return dict(inputs.to(self.model.device))

    def heard(self, encoder: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return what an encoder hears in features, part by part where the parts of a batch are copied."""
        parts = self.overlapped.parts(inputs) if self.overlapped else [inputs]
        found: list[torch.Tensor] = [encoder(**part).last_hidden_state for part in parts]
        return found[0] if len(found) == 1 else torch.cat(found)

    def effective(self) -> Effective:
        """See `Runtime`."""
        found, options = super().effective(), self.options
        compilers = ", inductor" if options.compiles else ""
        dtype = found.dtype
        if options.quantisation != "none":
            dtype = options.quantisation.replace("-", "_")
        elif options.encoder_dtype != options.decoder_dtype:
            dtype = f"{options.encoder_dtype} encoder, {options.decoder_dtype} decoder"
        return replace(
            found, dtype=dtype, library=f"{found.library}{compilers}", emulated=self.is_emulated(options.dtypes)
        )

    def differences(self) -> tuple[str, ...]:
        """See `Runtime`."""
        options = self.options
        plain = options.dtypes == {"float32"} and options.quantisation != "int8-dynamic" and not options.tf32
        return () if plain else ("activations",)

    def versions(self) -> dict[str, str]:
        """See `Runtime`."""
        found = super().versions()
        if self.options.quantisation != "none":
            found["torchao"] = importlib.metadata.version("torchao")
        return found

    def compile_s(self) -> float | None:
        """See `Runtime`.

        Raises:
            UnsupportedError: what was to run as CUDA graphs does not.
        """
        if self._compilation is None:
            return None
        self._compilation.check_graphs()
        return self._compilation.seconds()

    def n_compile_cache_hits(self) -> int | None:
        """See `Runtime`."""
        return self._compilation.n_cache_hits() if self._compilation else None


def _cast_to(dtype: torch.dtype) -> Any:
    def cast(_encoder: Any, _inputs: Any, heard: Any) -> Any:
        heard.last_hidden_state = heard.last_hidden_state.to(dtype)
        return heard

    return cast
