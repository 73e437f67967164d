"""Decides which values may be kept or shown: personal values, secrets, the deny-list, and masking."""
