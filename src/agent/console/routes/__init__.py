"""The pages of the console: one module for each, with a template in `templates/` and a line in `navigation.py`."""
