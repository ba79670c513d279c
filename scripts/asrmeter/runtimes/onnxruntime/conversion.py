"""Make graphs of ONNX Runtime of a model folder, which needs torch and transformers."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asrmeter.runtimes.onnxruntime import ctc_export, whisper_export

# Products of matrices alone: ONNX Runtime has no fast convolution of integers.
_PRODUCTS = ["MatMul", "Gemm"]


def convert(source: Path, family: str, form: str, target: Path) -> None:
    """Write the graphs of a model into the empty folder `target`; `form` is their number format.

    Raises:
        UnsupportedError: the model cannot be exported.
    """
    with _silence():
        # The builder rounds weights of Whisper itself.
        if family == "whisper" and form != "int8_dynamic":
            whisper_export.export(source, form, target)
        elif form == "float32":
            ctc_export.export(source, target)
        else:
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                exact = Path(folder)
                convert(source, family, "float32", exact)
                for path in sorted(exact.iterdir()):
                    if path.suffix == ".onnx":
                        {"int8": _quantise_in_blocks, "int8_dynamic": _quantise_dynamically}[form](path, target)
                    elif path.suffix == ".json":
                        path.rename(target / path.name)


def _quantise_dynamically(path: Path, target: Path) -> None:
    """Round the weights of products to 7 bits: processors without VNNI add products of 8 bits up with overflow."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        path,
        target / path.name,
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        op_types_to_quantize=_PRODUCTS,
        use_external_data_format=True,
    )


def _quantise_in_blocks(path: Path, target: Path) -> None:
    """Round the weights of products as the builder does those of Whisper."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantiser = MatMulNBitsQuantizer(onnx.load(path), bits=8, block_size=32, is_symmetric=True, accuracy_level=4)
    quantiser.process()
    quantiser.model.save_model_to_file(str(target / path.name), use_external_data_format=True)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep back what exporters tell of each layer and weight."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
