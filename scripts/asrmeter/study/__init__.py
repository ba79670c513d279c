"""The study: its YAML, validation, and the cells that follow from it.

Imports `models` and `corpora` (what they say of themselves), `machine` and `common`.
"""
