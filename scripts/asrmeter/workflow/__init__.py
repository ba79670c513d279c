"""What rules and command lines ask: resources of jobs, progress of a run, what a script imports.

Imports `study`, `records`, `models`, `machine` and `common`; pydantic and the standard library only, since every job
pays for it.
"""
