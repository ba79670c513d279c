"""What a worker can be asked to do, a module each."""
