"""Traces where the values of an action come from: the user, a trusted source, data, or nowhere."""
