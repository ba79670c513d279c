"""Numbers that several rooms share."""

# Every model that is measured takes waveforms at this rate.
SAMPLE_RATE_HZ = 16_000

# The keys of a study's protocol that say when a cell has been measured enough. The measuring job reads this too, so it
# is in no module that imports much.
STOP_RULE = ("target", "min_passes", "max_passes", "budget_s")
