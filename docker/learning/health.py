"""Print the health of the learning system in this container; the exit code is 1 where it is not healthy."""

import json
import os
import sys
import urllib.request

port = os.environ.get("LEARNING_API_PORT") or os.environ.get("AGENT_PORT") or "8080"
try:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        health = json.load(answer)
except OSError as error:
    health = {"status": "unreachable", "reason": str(error)}
sys.stdout.write(json.dumps(health) + "\n")
sys.exit(0 if health["status"] == "healthy" else 1)
