"""Finds out who calls: API keys, tokens of Supabase users, and the roles that they give."""
