"""Runs one write as agent_actor, and returns its rows before and after."""
