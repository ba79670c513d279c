"""The machine: who may measure on it, its facts, what disturbs a measurement, and which run a job belongs to.

Imports `common` and the standard library; pynvml inside functions. `noise_check` also imports torch and numpy.
"""
