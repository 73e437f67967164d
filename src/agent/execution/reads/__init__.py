"""Reads: as agent_reader, READ ONLY, capped, watched from outside."""
