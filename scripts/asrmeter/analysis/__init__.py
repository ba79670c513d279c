"""From records to answers: tables, scores, rankings, scenarios, rooflines, comparisons of runs.

Imports `records`, `study`, `corpora`, `sources` and `common`; never what measures, and never torch.
"""
