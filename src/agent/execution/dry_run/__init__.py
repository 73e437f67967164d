"""Runs a write, observes what it does, and rolls it back: the preview for an approver."""
