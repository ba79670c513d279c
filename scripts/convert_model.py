"""Convert a model folder for a runtime that loads no safetensors: a folder of its own, with provenance.json."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

# Where PYTHONSAFEPATH is set, Python leaves this folder out.
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
        "--variant-options", required=True, help="options of a variant that needs the folder, as JSON: runtime, format"
    )
    parser.add_argument("--key", help="fingerprint of what the folder is made of, for the record")
    parser.add_argument("--output", type=Path, required=True, help="the folder to make")
    args = parser.parse_args(argv)

    variant = json.loads(args.variant_options)
    options = runtimes.variant_options(variant)
    conversion = options.conversion()
    if conversion is None:
        raise AsrmeterError(f"--variant-options: {args.variant_options} loads a model folder as it is")

    from asrmeter.models.convert import convert

    # transformers imports it wherever it is installed: seconds, and lines of errors.
    runtimes.hide({*ALWAYS_UNUSED} - {*options.needs})
    refused = convert(args.model_folder, runtimes.runtime_of(variant)[0], conversion, args.output, args.key)
    if refused:
        logging.info("%s: %s is not possible: %s", args.model_folder.name, conversion.format, refused)


if __name__ == "__main__":
    run(main)
