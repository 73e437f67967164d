"""Help tests, your own too: throw-away Postgres servers and scripted outside services."""
