"""Worlds whose truth is known, for the statistics that decide about changes."""
