"""Holds the tools that the agent creates: proposed to a human, stored with a signature, run in a sandbox."""
