"""The columns of the table `cells`, a module for each kind: what each says of itself, and its value of a cell."""
