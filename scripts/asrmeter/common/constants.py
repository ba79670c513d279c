"""Numbers that several rooms share."""

# Every measured model takes waveforms at this rate.
SAMPLE_RATE_HZ = 16_000

# The range of n values contains their median with a probability of 1 - 2^(1 - n), for any distribution. 95 % need six
# segments. Resampling fewer cannot reach 95 %.
LEAST_SEGMENTS = 6

# Confidence of every interval.
CONFIDENCE = 0.95

# Raise this when measurements change their meaning. Records of another version are not read.
PROTOCOL_VERSION = 2
# Marks the folder of a kept run; a results folder never has it.
KEPT_FILE = "kept.json"
# The variant that others are compared with.
BASELINE = "fp32"
