"""Convert a model folder for a runtime that cannot load safetensors. The new folder has its own provenance.json."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter import runtimes
from asrmeter.common.errors import AsrmeterError
from asrmeter.runtimes.base import ALWAYS_UNUSED
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line and convert the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-folder", type=Path, required=True, help="the model folder, with provenance.json")
    parser.add_argument(
        "--variant-options",
        required=True,
        help="options of a variant that needs the converted folder, as JSON: runtime, format",
    )
    parser.add_argument("--key", help="fingerprint of the folder's sources, for the record")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)

    variant = json.loads(args.variant_options)
    options = runtimes.variant_options(variant)
    conversion = options.conversion()
    if conversion is None:
        raise AsrmeterError(f"--variant-options: {args.variant_options} loads a model folder without conversion")

    from asrmeter.models.convert import convert

    # transformers imports it wherever it is installed: seconds, and lines of errors.
    runtimes.hide({*ALWAYS_UNUSED} - {*options.needs})
    refused = convert(args.model_folder, runtimes.runtime_of(variant)[0], conversion, args.output, args.key)
    if refused:
        logging.info("%s: %s is not possible: %s", args.model_folder.name, conversion.format, refused)


if __name__ == "__main__":
    run(main)
