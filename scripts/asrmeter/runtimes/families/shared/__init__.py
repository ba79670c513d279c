"""What engines share of several families. Its modules import numpy or torch: only what runs a model imports them."""
