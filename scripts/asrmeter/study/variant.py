"""How a study runs a model: the options of a variant. A change of one measures its cells again."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from asrmeter.common.options import FORBID_OTHERS


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A variant of every model. Measuring jobs get it as JSON."""

    __pydantic_config__: ClassVar = FORBID_OTHERS

    runtime: Literal["transformers"] = field(
        default="transformers", metadata={"description": "The library that runs the model."}
    )
    dtype: Literal["float32", "float16", "bfloat16"] = field(
        default="float32", metadata={"description": "Number format of weights and activations."}
    )
    attention: Literal["sdpa", "eager"] = field(
        default="sdpa",
        metadata={
            "description": "Implementation of attention. sdpa: torch's scaled_dot_product_attention. eager: as "
            "separate operations."
        },
    )

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON has them."""
        return dict(vars(self))  # `asdict` takes twenty times as long, and each cell asks
