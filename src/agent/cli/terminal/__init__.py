"""What shows things on a terminal."""
