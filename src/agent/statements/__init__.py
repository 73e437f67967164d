"""Analyses one SQL statement: parses it, lets the server resolve it, and decides whether it runs, asks or is refused."""
