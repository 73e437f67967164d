"""Asking a human: the queue of requests, their decisions, and what binds one to the other."""
