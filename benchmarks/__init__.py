"""Measurements against the bars that the project promises: `python -m benchmarks [part ...]`."""
