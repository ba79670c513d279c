"""Floating-point operations of a model, counted without its weights.

Imports `runtimes`, `corpora`, `study` and `common`.
"""
