"""Holds the built-in tools, one file each, and the names and arguments of all of them."""
