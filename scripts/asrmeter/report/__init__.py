"""The report: from the rows of the tables to one self-contained HTML file."""
