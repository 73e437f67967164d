"""State of components of user interfaces: changed in part, shown before it is confirmed, and the same everywhere in the end."""
