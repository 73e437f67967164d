"""A generated world of agents and tasks whose truth is known, and how the models are judged in it."""
