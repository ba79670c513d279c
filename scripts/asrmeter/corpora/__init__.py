"""Speech: from utterances to segments of every duration class, their batches and their files.

Imports `sources` and `common`. The planner asks `kinds`: heavy libraries are imported inside `load` only.
"""
