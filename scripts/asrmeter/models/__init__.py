"""Model folders: known models, weights as their authors saved them, the packaged format, building a folder.

Imports `runtimes`, `sources` and `common`; `catalogue` imports the standard library only.
"""
