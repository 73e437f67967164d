"""Show text, tables, turns and requests on a terminal, and read lines from it."""
