"""The bridge to Roblox Studio: a plugin there is paired once, gets scripts in batches, and sends back what is changed in Studio."""
