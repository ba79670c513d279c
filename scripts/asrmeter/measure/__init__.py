"""Measuring: the job that starts and supervises a worker, the worker and its tasks, energy, memory, the stop rule.

Imports any room below. The worker never imports pyarrow, pandas, librosa or scipy.
"""
