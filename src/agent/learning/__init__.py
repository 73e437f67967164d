"""What the agent learns: the database's structure, memories, and the search in both.

auto_discover         reads the structure from the catalogs and keeps it up to date; `discovery` is how
schema_linking        selects the part of the structure that a question needs
memory                saves, reads and forgets memories, and embeds them
semantic_search       finds memories
named_relations       finds the relation that a tool's argument names
learning_middleware   loads knowledge before a turn and saves the interaction after it
"""
