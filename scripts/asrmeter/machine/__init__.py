"""The machine: its lock, its facts, interference with measurements, and the run that a job belongs to.

Imports `common` and the standard library; pynvml inside functions. `noise_check` also imports torch and numpy.
"""
