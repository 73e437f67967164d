"""Brings scripts to the paired Roblox Studio, and looks whether they arrived."""

from __future__ import annotations

from agent.integration.workflow import Task, Workflow

# Studio refuses a script of more than 200,000 characters.
_SCRIPTS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1_000,
    "items": {
        "type": "object",
        "properties": {
            "path": {"type": "string", "minLength": 1, "maxLength": 500, "pattern": r"^[A-Za-z0-9_ -]+([./][A-Za-z0-9_ -]+)*$"},
            "source": {"type": "string", "maxLength": 199_999},
        },
        "required": ["path", "source"],
    },
}  # fmt: skip
_EXAMPLE = [{"path": "ServerScriptService/Main", "source": 'print("Hello from the agent")\n'}]

ROBLOX_DEPLOYMENT = Workflow(
    name="roblox_deployment",
    description="Prepare scripts, check them, bring them to Roblox Studio, and verify that they are there.",
    parameters={"scripts": _EXAMPLE},
    tasks=(
        Task(name="prepare_scripts", agent="studio_bridge", takes={"scripts": "{scripts}"}),
        Task(name="validate_scripts", agent="schema_validator", takes={"definition": _SCRIPTS, "data": {"$from": "prepare_scripts.scripts"}}),
        Task(name="deploy_to_studio", agent="studio_bridge", takes={"scripts": {"$from": "validate_scripts.data"}}),
        Task(name="verify_deployment", agent="studio_bridge", takes={"deployment_id": {"$from": "deploy_to_studio.deployment_id"}}),
    ),
)  # fmt: skip
