"""The audit log: an append-only, sealed chain of requests, decisions and effects."""
