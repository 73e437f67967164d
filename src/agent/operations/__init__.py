"""What people do with the agent, whatever the surface: each operation applies its rules and returns typed, masked values.

The CLI, the graph and the demo call these, and so does every surface to come: it parses, calls one, and renders.
"""
