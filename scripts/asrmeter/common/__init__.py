"""Shared basics: errors, atomic files, Parquet with checksums, TOML, statistics, vocabulary, constants, paths.

Imports nothing of ours.
"""
