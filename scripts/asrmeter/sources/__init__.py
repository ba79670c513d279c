"""Sources of data: pinned packages, the Hub, and the hashes of the files that a run makes from them.

Imports `common`.
"""
