"""The figures: from the rows of the tables to SVG."""
