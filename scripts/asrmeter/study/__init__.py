"""The study: its YAML file, its types, its validation, and the cells that follow from it.

Imports `models` and `corpora` (their options), `machine` and `common`. Measuring jobs import `grid`, so that this must
not import pydantic.
"""
