"""Speech: from utterances to the segments of every duration class, their batches and their files.

Imports `sources` and `common`. The planner asks `kinds`, which import heavy libraries inside `load` only.
"""
