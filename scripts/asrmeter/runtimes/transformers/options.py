"""What a study can say of a variant that transformers runs. Imports no library."""

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from asrmeter.common.errors import AsrmeterError
from asrmeter.common.options import derived
from asrmeter.runtimes.base import DEFAULT_ENVIRONMENT, RUNTIME, RuntimeOptions, options_config

if TYPE_CHECKING:
    from asrmeter.machine.host import Host

Dtype = Literal["float32", "float16", "bfloat16"]

# Implementations of attention that are CUDA kernels.
FLASH = "flash_attention_2"
# Tensor cores of this compute capability and above multiply TF32, and FlashAttention 2 is written for them.
AMPERE = (8, 0)


@dataclass(frozen=True, kw_only=True)
class TransformersOptions(RuntimeOptions):
    """How transformers runs a model."""

    __pydantic_config__: ClassVar = options_config("transformers", "Run by transformers, in torch.")
    packages: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    # transformers imports most of these where they are installed, for training losses and images, and pandas imports
    # pyarrow: half a second for nothing, and a thread.
    unused_packages: ClassVar[tuple[str, ...]] = ("scipy", "sklearn", "PIL", "torchvision", "torchaudio", "pyarrow")
    has_operators: ClassVar[bool] = True
    environments: ClassVar[Mapping[str, tuple[str, ...]]] = {"torchao": ("torchao",)}

    runtime: Literal["transformers"] = field(default="transformers", metadata=RUNTIME)
    dtype: Dtype = field(default="float32", metadata={"description": "Number format of weights and activations."})
    encoder_dtype: Dtype = field(
        default_factory=derived,
        metadata={"description": "Number format of the encoder. Default: dtype."},
    )
    decoder_dtype: Dtype = field(
        default_factory=derived,
        metadata={"description": "Number format of the decoder, or of a CTC model's head. Default: dtype."},
    )
    attention: Literal["sdpa", "eager", "flash_attention_2", "flex_attention"] = field(
        default="sdpa",
        metadata={
            "description": "Implementation of attention. sdpa: torch's scaled_dot_product_attention. eager: as "
            "separate operations. flash_attention_2: kernels of the package flash-attn, for float16 and bfloat16 on a "
            "GPU. flex_attention: torch's, compiled for the model."
        },
    )
    cache: Literal["dynamic", "static", "none"] = field(
        default_factory=derived,
        metadata={
            "description": "Keys and values of earlier tokens. dynamic: kept, in memory that grows. static: kept, in "
            "memory that is allocated once, for the longest text. none: computed again for each token. Default: "
            "dynamic, and static with compile: all."
        },
    )
    compile: Literal["none", "encoder", "all"] = field(
        default="none",
        metadata={
            "description": "What torch.compile compiles. all: encoder and decoder. Whisper on a GPU runs as CUDA "
            "graphs. The seconds that compiling takes are apart from latency."
        },
    )
    quantisation: Literal["none", "int8-dynamic", "int8-weights"] = field(
        default="none",
        metadata={
            "description": "Linear layers in 8 bits, by torchao. int8-weights: their weights. int8-dynamic: their "
            "inputs too, scaled anew for each pass."
        },
    )
    transfers: Literal["plain", "pinned", "overlapped"] = field(
        default="plain",
        metadata={
            "description": "How features reach a GPU. pinned: from memory that stays where it is, without a copy in "
            "between. overlapped: so, and half of a batch is copied while the encoder hears the other half. Audio "
            "longer than a window of Whisper is copied at once."
        },
    )
    tf32: bool = field(
        default=False,
        metadata={"description": "Round factors of float32 products to TF32, which tensor cores of GPUs multiply."},
    )

    def __post_init__(self) -> None:
        """Say what follows from other options where the study does not."""
        follows = {
            "encoder_dtype": self.dtype,
            "decoder_dtype": self.dtype,
            "cache": "static" if self.compile == "all" else "dynamic",
        }
        for name, value in follows.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    @property
    def dtypes(self) -> frozenset[str]:
        """The number formats of encoder and decoder."""
        return frozenset({self.encoder_dtype, self.decoder_dtype})

    @property
    def compiles(self) -> bool:
        """Whether anything is compiled before it runs."""
        return self.compile != "none" or self.attention == "flex_attention"

    @property
    def environment(self) -> str:
        """See `RuntimeOptions`."""
        return DEFAULT_ENVIRONMENT if self.quantisation == "none" else "torchao"

    @property
    def needs(self) -> tuple[str, ...]:
        """See `RuntimeOptions`."""
        return (*super().needs, *(["flash_attn"] if self.attention == FLASH else []))

    @property
    def wanted_dtype(self) -> str | None:
        """The number format of products of matrices, None where there is more than one, or one that no peak is of."""
        plain = self.quantisation == "none" and not self.tf32 and len(self.dtypes) == 1
        return self.encoder_dtype if plain else None

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON has them, without those that change nothing: what was measured before stays."""
        plain = vars(type(self)(dtype=self.dtype, attention=self.attention))
        always = ("runtime", "dtype", "attention")
        return {name: value for name, value in vars(self).items() if name in always or value != plain[name]}

    def check(self) -> None:
        """See `RuntimeOptions`."""
        if self.compile == "all" and self.cache != "static":
            raise AsrmeterError(
                f"cache: compiled code has fixed shapes, and with {self.cache} the decoder's change with each token; "
                "leave it out, or set it to static"
            )
        if self.quantisation != "none" and self.dtypes != {"float32"}:
            raise AsrmeterError("quantisation: what is not in 8 bits is float32 there; leave out the dtypes")
        if self.tf32 and "float32" not in self.dtypes:
            raise AsrmeterError("tf32: it rounds float32 products, and this variant has none")
        if self.attention == FLASH and "float32" in self.dtypes:
            raise AsrmeterError(f"attention: {FLASH} computes in float16 and bfloat16 alone; set dtype")

    def why_not(self, family: str | None, device: str, host: "Host") -> str | None:
        """See `RuntimeOptions`."""
        if family == "ctc" and self.cache != "dynamic":
            beside = "compile: encoder is all" if self.compile == "all" else "it keeps nothing from token to token"
            return f"a {family} model has no decoder; {beside}"
        for option in self._for_gpus():
            if device == "cpu":
                return f"{option} needs a GPU"
        for option in self._for_ampere():
            if host.compute_capability is not None and host.compute_capability < AMPERE:
                own, least = (".".join(map(str, version)) for version in (host.compute_capability, AMPERE))
                return f"{option} needs a GPU of compute capability {least} at least, and this one has {own}"
        if self.compiles and not any(map(shutil.which, compilers := _compilers(device))):
            return f"torch.compile needs a compiler, and there is no {' or '.join(compilers)} on this machine"
        return None

    def _for_gpus(self) -> list[str]:
        return [*self._for_ampere(), *([f"transfers: {self.transfers}"] if self.transfers != "plain" else [])]

    def _for_ampere(self) -> list[str]:
        return ["tf32"] * self.tf32 + [FLASH] * (self.attention == FLASH)


def _compilers(device: str) -> list[str]:
    """Return the compilers that torch can call: of C++, or of C for what launches kernels of a GPU."""
    variable, usual = ("CXX", ["g++"]) if device == "cpu" else ("CC", ["gcc", "clang"])
    own = os.environ.get(variable)
    return shlex.split(own)[:1] if own else usual
