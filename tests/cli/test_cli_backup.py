"""A backup brings everything back: what was remembered and said is found after a restore, also on another machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

AGENT = str(Path(sys.executable).with_name("agent"))


def agent(home: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [AGENT, *arguments, "--json"],
        env={"PATH": os.environ["PATH"], "AGENT_HOME": str(home), "LANG": "C.UTF-8"},
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_was_remembered_is_found_after_a_restore(tmp_path: Path) -> None:
    first, second, file = tmp_path / "first", tmp_path / "second", tmp_path / "all.dump"
    said = agent(first, "chat", "Remember: campaign status 3 means paused")
    agent(first, "backup", str(file))
    for home in (first, second):
        agent(home, "restore", str(file))
        [fact] = agent(home, "memory", "list", "--kind", "fact")
        assert fact["content"] == "campaign status 3 means paused"
        assert [one["thread_id"] for one in agent(home, "threads", "list")] == [said["thread_id"]]
