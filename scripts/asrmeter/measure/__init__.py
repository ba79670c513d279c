"""How a cell is measured: what a worker is given, who starts and watches it, what it does, when it stops.

Imports any room below. The worker never imports pyarrow, pandas, librosa or scipy.
"""
