"""The library that the command lines in `scripts/` share."""
