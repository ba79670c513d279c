"""The study: its YAML file, its validation, and the cells that follow from it.

Imports `models` and `corpora` (their descriptions), `machine` and `common`.
"""
