"""Run `agent analytics train --json`."""

from agent.cli.main import app

app(["analytics", "train", "--json"], prog_name="agent")
