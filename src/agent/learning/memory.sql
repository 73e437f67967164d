-- search: runs as the tables' owner and filters by the tenant of this connection
SELECT * FROM agents.search_memories(%(query)s, %(database_id)s, %(embedding)s::real[], %(model)s, %(limit)s, %(kinds)s)
