"""The demonstration: an advertising agency's application, and a conversation about it."""
