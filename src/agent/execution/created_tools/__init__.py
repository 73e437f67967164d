"""Tools that the agent makes itself: proposed, kept, and run in a sandbox."""
