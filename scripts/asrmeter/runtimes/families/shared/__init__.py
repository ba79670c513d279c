"""What engines share of several families. Its modules import numpy or torch, and only those that run models name them."""
