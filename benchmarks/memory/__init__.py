"""Memories to find again, with what ought to be found; and many more to fill a store with."""
