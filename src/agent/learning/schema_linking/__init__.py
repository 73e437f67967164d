"""From a question to the part of the schema that matters: index, linking, rendering."""
