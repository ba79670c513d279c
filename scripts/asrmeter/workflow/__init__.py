"""Support for rules and command lines: resources of jobs, progress of a run, imports of a script.

Imports `study`, `records`, `models`, `machine` and `common`; pydantic and the standard library only, since every job
imports it.
"""
