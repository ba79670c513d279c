"""Make a corpus: segments of each duration class as FLAC, with their manifest."""

import argparse
import logging
from pathlib import Path

from asrmeter.cli import run
from asrmeter.corpora import manifest, packages
from asrmeter.errors import AsrmeterError
from asrmeter.packages import Archives
from asrmeter.segments import Segment, compose, sample


def build(listing: Path, downloads: Path, durations_s: list[int], most: int, seed: int, output: Path) -> None:
    """Write the corpus folder `output`; a class without a single segment is an error."""
    recordings, utterances = packages.load(listing, Archives(downloads))
    segments: list[Segment] = []
    for duration_s in durations_s:
        possible = compose(utterances, duration_s)
        if not possible:
            raise AsrmeterError(
                f"{listing}: no segment of {duration_s} s can be made of it; leave the class out of durations_s"
            )
        chosen = sample(possible, most, seed)
        logging.info("%d s: %d of %d segments", duration_s, len(chosen), len(possible))
        segments += chosen
    manifest.write(output, segments, recordings)


def main(argv: list[str] | None = None) -> None:
    """Read the command line and build the corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listing", type=Path, required=True, help="the corpus' TOML file in resources/corpora/")
    parser.add_argument("--downloads", type=Path, required=True, help="folder of the downloaded archives")
    parser.add_argument("--durations-s", type=int, nargs="+", required=True, help="duration classes in seconds")
    parser.add_argument("--segments-per-class", type=int, required=True, help="most segments of a class")
    parser.add_argument("--seed", type=int, required=True, help="seed of the selection")
    parser.add_argument("--output", type=Path, required=True, help="the corpus folder")
    args = parser.parse_args(argv)
    build(args.listing, args.downloads, args.durations_s, args.segments_per_class, args.seed, args.output)


if __name__ == "__main__":
    run(main)
