"""Numbers that several rooms share."""

# Every model that is measured takes waveforms at this rate.
SAMPLE_RATE_HZ = 16_000

# Raised when measurements come to mean something else: records of another version are not read.
PROTOCOL_VERSION = 2
