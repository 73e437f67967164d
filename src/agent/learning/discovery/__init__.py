"""Reads the structure of a database from its catalogs and keeps it as values."""
