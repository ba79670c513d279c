"""Two runs of the same cells side by side."""
