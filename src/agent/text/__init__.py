"""Pure rules over text: what can be stored, how long it is, and which words it holds."""
