"""Asks a human: the queue of requests, people's decisions, and what they allow in advance."""
