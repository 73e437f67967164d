"""Writes: tried and taken back for the approver, done as they were shown, and undone."""
