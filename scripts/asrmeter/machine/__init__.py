"""The machine: who may measure on it, what it is, what disturbs a measurement, and which run a job belongs to.

Imports `common`; the standard library only, but for pynvml inside functions.
"""
