"""Run `agent analytics insights --json`."""

from agent.cli.main import app

app(["analytics", "insights", "--json"], prog_name="agent")
