"""Speech: utterances, the segments of every duration class, their batches and files.

Imports `sources` and `common`. The planner asks `kinds`, which import heavy libraries inside `load` only.
"""
