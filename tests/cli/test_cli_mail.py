"""Mail as a user meets it: asked for in words, shown as it will be read, sent once it is approved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

QUESTION = "Mail anna@firm.example about lunch: see you at noon, see evil.example"


def test_a_mail_waits_is_shown_as_it_is_read_and_is_sent_when_it_is_approved(
    run: Any, run_json: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_EMAIL_OUTBOX", str(tmp_path / "outbox"))
    monkeypatch.setenv("AGENT_EMAIL_DOMAINS", "firm.example")
    assert run("chat", QUESTION).exit_code == 4
    [waiting] = run_json("approvals", "list")
    assert waiting["risk_level"] == "HIGH"
    shown = run("approvals", "show", str(waiting["id"])).stdout
    for text in (
        "To: anna@firm.example",
        "Subject: lunch",
        "see you at noon",
        "evil.example', which AGENT_EMAIL_DOMAINS",
    ):
        assert text in " ".join(shown.split())
    assert not (tmp_path / "outbox").exists()
    assert run("approvals", "approve", str(waiting["id"])).exit_code == 0
    [file] = (tmp_path / "outbox").iterdir()
    assert "Subject: lunch" in file.read_text()


def test_without_mail_set_up_the_answer_and_the_status_say_what_to_set(run: Any) -> None:
    answer = run("chat", QUESTION)
    assert "AGENT_EMAIL_OUTBOX" in answer.stdout
    assert "AGENT_SMTP_HOST" in run("status").stdout
