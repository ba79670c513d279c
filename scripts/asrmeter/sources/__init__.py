"""Where bytes come from: pinned packages, the Hub, and the hashes of what a run makes of them.

Imports `common`.
"""
