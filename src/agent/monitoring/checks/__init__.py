"""The checks of the monitor: one file for each, and one line in `registry.py`."""
