"""A run as a Mermaid flowchart: a box for each step, an arrow for each dependency, a colour for each status. Pure."""

from __future__ import annotations

from agent.orchestration.records import RunView, StepRecord

_COLOURS = {
    "waiting": "fill:#f4f4f5,stroke:#a1a1aa", "running": "fill:#dbeafe,stroke:#2563eb", "succeeded": "fill:#dcfce7,stroke:#16a34a",
    "failed": "fill:#fee2e2,stroke:#dc2626", "skipped": "fill:#fafafa,stroke:#a1a1aa,stroke-dasharray:4", "cancelled": "fill:#fef3c7,stroke:#d97706",
}  # fmt: skip


def mermaid(view: RunView) -> str:
    """Return the flowchart. Names are quoted, so that none of their characters is read as Mermaid."""
    places = {step.id: f"s{at}" for at, step in enumerate(view.steps)}
    lines = ["flowchart TD"]
    lines += [f'  {places[step.id]}["{_quoted(_label(step))}"]:::{step.status}' for step in view.steps]
    lines += [f"  {places[one]} --> {places[step.id]}" for step in view.steps for one in step.dependencies]
    used = dict.fromkeys(step.status for step in view.steps)
    return "\n".join([*lines, *(f"  classDef {status} {_COLOURS[status]}" for status in used)])


def _label(step: StepRecord) -> str:
    took = f", {step.duration:.0f} ms" if step.duration is not None else ""
    return f"{step.id}: {step.agent_id} {step.action} ({step.status}{took})"


def _quoted(text: str) -> str:
    plain = "".join(one if one.isalnum() or one in " _-.:,()" else f"#{ord(one)};" for one in text)
    return plain[:400]
