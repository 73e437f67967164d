"""Runs code in processes that can only compute and call host functions."""
