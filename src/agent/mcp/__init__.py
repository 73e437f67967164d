"""The agent for clients that speak the Model Context Protocol: a surface beside the API and the command line."""
