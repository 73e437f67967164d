"""Runs one read as agent_reader: READ ONLY, capped, watched from outside."""
