"""Print how often the intervals of simulated studies hold, as a Markdown table of 24 cells and one of 6.

    PYTHONPATH=scripts:tests python tests/check/coverage.py 500

It simulates so many studies for each entry; 500 take minutes.
"""

import sys
from dataclasses import replace

from helpers.lap_world import World

WORLDS = {
    "none": World(own_sd=0.0),
    "3 %": World(own_sd=0.03),
    "5 %": World(),
    "10 %": World(own_sd=0.10),
    "3 %, drift 1.5 %": World(own_sd=0.03, drift_sd=0.015),
    "5 %, drift 3 %": World(drift_sd=0.03),
    "5 %, drift 8 %": World(drift_sd=0.08),
    "3 %, drift 8 %": World(own_sd=0.03, drift_sd=0.08),
    "5 %, heavy tails": World(heavy_tails=True),
    "5 %, heavy tails, drift 3 %": World(heavy_tails=True, drift_sd=0.03),
    "10 % (short cells) to 2.5 % (long)": World(unequal=True),
    "the same, drift 3 %": World(unequal=True, drift_sd=0.03),
}
COLUMNS = {
    "truth": "truth",
    "shortest": "of short cells",
    "ratio": "ratio of two cells",
    "next_run": "next run",
    "half_width": "half-width",
    "ratio_half_width": "of a ratio",
}
LAPS = (2, 3, 5)


def main(n_studies: int) -> None:
    """Print a table for 24 cells and one for 6; each entry is for 2, 3 and 5 laps, in per cent."""
    for n_cells in (24, 6):
        print(f"\n| own scatter, {n_cells} cells | {' | '.join(COLUMNS.values())} |\n|{'---|' * (len(COLUMNS) + 1)}")
        for name, world in WORLDS.items():
            found = [replace(world, n_cells=n_cells, n_laps=laps).coverage(n_studies) for laps in LAPS]
            entries = [" / ".join(f"{100 * getattr(one, column):.3g}" for one in found) for column in COLUMNS]
            print(f"| {name} | {' | '.join(entries)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
