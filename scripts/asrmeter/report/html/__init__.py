"""The page: its sections, from the rows of the tables to HTML."""
