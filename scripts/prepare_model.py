"""Build a model folder: config, safetensors, tokenizer, provenance."""

import argparse
import json
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter import runtimes
from asrmeter.models.catalogue import ModelSettings
from asrmeter.runtimes.base import ALWAYS_UNUSED
from asrmeter.sources.packages import Archives
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line and build the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name of the model in the study")
    parser.add_argument(
        "--settings", required=True, help="settings of the model in the study, as JSON: weights, id, revision, path"
    )
    parser.add_argument("--seed", type=int, required=True, help="seed of random weights")
    parser.add_argument("--downloads", type=Path, required=True, help="folder of the downloaded archives")
    parser.add_argument("--key", help="fingerprint of the folder's sources, for the record")
    parser.add_argument("--output", type=Path, required=True, help="the model folder")
    args = parser.parse_args(argv)

    runtimes.hide(ALWAYS_UNUSED)  # transformers would import it
    from asrmeter.models.build import build  # imports the Hub's client, which --help need not wait for

    settings = ModelSettings(**json.loads(args.settings))
    build(args.model, settings, args.seed, Archives(args.downloads), args.output, args.key)


if __name__ == "__main__":
    run(main)
