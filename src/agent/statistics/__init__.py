"""Statistics on numbers alone: what is decided here knows no database and no agent."""
