"""Make a corpus: segments of each duration class as FLAC, with their manifest."""

import argparse
import json
import os
import sys
from pathlib import Path

# With PYTHONSAFEPATH set, Python does not search this folder.
sys.path.insert(0, os.path.dirname(__file__))

from asrmeter.corpora import kinds
from asrmeter.corpora.build import build
from asrmeter.workflow.cli import run


def main(argv: list[str] | None = None) -> None:
    """Read the command line and build the corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, help="the study's corpus as JSON, with every key")
    parser.add_argument(
        "--downloads", type=Path, required=True, help="folder of the downloaded archives and of the Hub's files"
    )
    parser.add_argument("--durations-s", type=int, nargs="+", required=True, help="duration classes in seconds")
    parser.add_argument("--seed", type=int, required=True, help="seed of the selection")
    parser.add_argument("--key", help="fingerprint of the corpus' sources, for the record")
    parser.add_argument("--output", type=Path, required=True, help="the corpus folder")
    args = parser.parse_args(argv)
    corpus = kinds.from_json(json.loads(args.corpus))
    build(corpus, args.durations_s, args.seed, args.downloads, args.output, args.key)


if __name__ == "__main__":
    run(main)
