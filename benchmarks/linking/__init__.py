"""Schemas and questions that measure schema linking."""
