"""Decides what "always allow" covers, and which permission an action may use."""
