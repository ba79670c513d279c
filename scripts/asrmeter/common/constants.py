"""Numbers that several rooms share."""

# Every model that is measured takes waveforms at this rate.
SAMPLE_RATE_HZ = 16_000
