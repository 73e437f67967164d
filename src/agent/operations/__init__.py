"""The operations that every surface offers: each one applies its rules and returns typed, masked values.

The CLI, the graph and the demo call them. A surface parses its input, calls one operation and renders the result.
"""
