"""Model folders: the catalogue of known models, files as their authors saved them, and building.

Imports `runtimes`, `sources` and `common`; `catalogue` imports the standard library only.
"""
