"""The built-in tools, a file each, and the table of all tools."""
