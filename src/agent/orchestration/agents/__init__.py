"""Agents that plans name: what they are, which ones a process knows, and those that come with it."""
