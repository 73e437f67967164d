"""Selects the part of the schema that is relevant to a question."""
