"""The report: words, numbers as text, figures and the page.

Imports `analysis`, `records`, `study` and `common`. Only `figures` imports matplotlib, only `html` imports jinja2, and
neither imports the other.
"""
