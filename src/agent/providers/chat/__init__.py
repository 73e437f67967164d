"""Chat models: one client for every provider, its stream, its failures and its prices."""
