"""Records that are kept in Postgres and cached in Redis: written through or behind, loaded once, never older than promised."""
