"""The results of measurements: the record of a cell, its status, the rows of a profile, the peaks of a machine.

Imports `common`.
"""
