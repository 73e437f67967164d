"""How the structure of a database is read from its catalogs and kept as values."""
