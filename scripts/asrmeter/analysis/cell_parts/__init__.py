"""What is worked out from one cell's record, a class for each kind of quantity."""
