"""Schemas and questions that were written before the linker was read, and on which nothing is tuned.

A line of a schema is a table, as in `wide_schema`. A line of questions names the columns that the answer needs.
"""
