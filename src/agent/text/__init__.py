"""Pure rules over text: what can be stored, how many tokens it has, and which words it holds."""
