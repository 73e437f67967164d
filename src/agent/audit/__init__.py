"""The audit log: an append-only, sealed chain of what was asked, decided and done."""
