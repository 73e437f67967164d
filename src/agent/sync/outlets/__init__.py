"""Outlets: events that are passed on to other systems, in the order of their channel and without loss."""
