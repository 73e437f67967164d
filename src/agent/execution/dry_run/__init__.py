"""Runs a write, notes what it does, and takes it back: what an approver is shown."""
