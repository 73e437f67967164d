"""What one statement is: parsed, resolved by the server, judged."""
