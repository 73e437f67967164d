"""Measure whether the project reaches the bars that it promises: `python -m benchmarks [part ...]`."""
