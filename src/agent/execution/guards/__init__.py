"""Conditions of the operator for a change: freeze windows, a recovery point, a bound of rows; and what lifts them for a time."""
