"""Where bytes come from: pinned packages, the Hub, and hashes of what was made of them.

Imports `common`.
"""
