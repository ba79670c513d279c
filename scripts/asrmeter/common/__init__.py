"""What every room needs: errors, whole files, tables as files, statistics, the shared vocabulary.

Imports nothing of ours.
"""
