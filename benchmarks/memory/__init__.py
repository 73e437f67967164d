"""Memories to find again, with what ought to be found; and many more to fill a store with.

In `labelled.json` a query names what is `relevant` to it, which stated facts `must` be among what is found, and what is
`stale`: wrong answers and what was said before it changed, which may be found only below those. Nothing is relevant to
the `unrelated` ones.
"""
