"""Checks a model's answer against the results, questions and memories that it can be from."""
