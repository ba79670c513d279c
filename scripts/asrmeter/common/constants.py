"""Numbers that several rooms share."""

# Every model that is measured takes waveforms at this rate.
SAMPLE_RATE_HZ = 16_000

# From the smallest to the largest of n values lies an interval that holds their median with a probability of
# 1 - 2^(1 - n), whatever their distribution. 95 % need six segments; resampling fewer cannot reach it.
LEAST_SEGMENTS = 6

# Of every interval.
CONFIDENCE = 0.95

# Raised when measurements come to mean something else: records of another version are not read.
PROTOCOL_VERSION = 2
# In the folder of a kept run, and in no results folder.
KEPT_FILE = "kept.json"
# The variant that others are compared with.
BASELINE = "fp32"
