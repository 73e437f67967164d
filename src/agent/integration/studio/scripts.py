"""Scripts of a project: checked, kept with every version, and written as Luau where data is to arrive in Studio."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from agent.db import Connection, load_queries
from agent.db.queries import fetch_one
from agent.errors import InvalidInput, NotFound, StateChanged
from agent.runtime import Runtime

_QUERIES = load_queries(__package__)
Kind = Literal["Script", "LocalScript", "ModuleScript"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MOST_CHARACTERS: Final = 199_999  # Studio refuses 200,000
MOST_SCRIPTS: Final = 1_000
DEFAULT: Final = "default"
_PART = re.compile(r"[A-Za-z0-9_ .:-]{1,100}\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = frozenset(["and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while", "continue"])  # fmt: skip
_MOST_DEPTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script: where it is in the place, and its text; None is a script that was removed."""

    path: str
    source: str | None
    kind: Kind = "Script"
    version: int = 0


def checked(given: Any) -> Script:
    """Return the script in what somebody sent. Raises `InvalidInput`. Pure."""
    if not isinstance(given, Mapping):
        raise InvalidInput('A script is an object such as {"path": "ServerScriptService/Main", "source": "..."}.')
    path, source, kind = given.get("path"), given.get("source"), given.get("kind")
    parts = re.split(r"[/]", path) if isinstance(path, str) else []
    if not 1 < len(parts) <= 20 or not all(_PART.match(part) and part.strip(". ") for part in parts):
        raise InvalidInput("The path of a script begins with a service, such as ServerScriptService/Main; its parts have letters, digits and _ -.:")  # fmt: skip
    if source is not None and (not isinstance(source, str) or len(source) > MOST_CHARACTERS or "\x00" in source):
        raise InvalidInput(f"The source of a script is a text of at most {MOST_CHARACTERS:,} characters.")
    found: Kind = "ModuleScript" if parts[0] == "ReplicatedStorage" else "LocalScript" if parts[0].startswith("Starter") else "Script"  # fmt: skip
    if kind is not None:
        if kind not in KINDS:
            raise InvalidInput(f"The kind of a script is one of {', '.join(KINDS)}.")
        found = kind
    return Script(path="/".join(parts), source=source, kind=found)


def project_of(given: Any) -> str:
    """Return the name of a project. Raises `InvalidInput`. Pure."""
    name = DEFAULT if given is None else given
    if not isinstance(name, str) or not 0 < len(name) <= 100 or not name.isprintable():
        raise InvalidInput("The name of a project has 1 to 100 printable characters.")
    return name


async def save(
    script: Script, *, project: str, expected_version: int | None = None, runtime: Runtime, by: str | None = None
) -> int:
    """Keep a script, and return its version; the same text again makes none. Raises `StateChanged`."""
    async with runtime.transaction() as conn:
        return await save_in(conn, script, project=project, expected_version=expected_version, by=by or runtime.user, runtime=runtime)  # fmt: skip


async def save_in(
    conn: Connection, script: Script, *, project: str, expected_version: int | None, by: str, runtime: Runtime
) -> int:
    """Do the same in a transaction of the caller."""
    values = {"tenant_id": runtime.tenant_id, "project": project, "path": script.path}
    await conn.execute(_QUERIES["lock_script"], {"name": json.dumps(list(values.values()))})
    present = await fetch_one(conn, _QUERIES["script"], values)
    version = present["version"] if present else 0
    if present and present["source"] == script.source and present["kind"] == script.kind:
        return int(version)
    if expected_version is not None and expected_version != version:
        raise StateChanged(f"{script.path!r} has version {version}, and you saw {expected_version}: look at it first.")
    row = await fetch_one(conn, _QUERIES["save_script"], {**values, "kind": script.kind, "source": script.source, "by": by})  # fmt: skip
    assert row is not None  # noqa: S101  # an insert returns its row
    return int(row["version"])


async def get(path: str, *, project: str, runtime: Runtime) -> Script:
    """Return a script. Raises `NotFound`."""
    _check_path(path, project)
    row = await runtime.one(_QUERIES["script"], project=project, path=path)
    if row is None:
        raise NotFound(f"There is no script {path[:200]!r}.")
    return Script(path=row["path"], source=row["source"], kind=row["kind"], version=row["version"])


async def every(*, project: str, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the scripts of a project without their texts, by path."""
    project_of(project)
    return await runtime.all(_QUERIES["scripts"], project=project)


async def versions(path: str, *, project: str, runtime: Runtime) -> list[dict[str, Any]]:
    """Return the newest versions of a script with their texts. Raises `NotFound`."""
    _check_path(path, project)
    found = await runtime.all(_QUERIES["versions"], project=project, path=path, version=None)
    if not found:
        raise NotFound(f"There is no script {path[:200]!r}.")
    return found


async def restore(path: str, version: int, *, project: str, runtime: Runtime) -> int:
    """Make the text of an earlier version the newest one, and return its number. Raises `NotFound`."""
    _check_path(path, project)
    row = await runtime.one(_QUERIES["versions"], project=project, path=path, version=version)
    if row is None:
        raise NotFound(f"{path[:200]!r} has no version {version}.")
    present = await get(path, project=project, runtime=runtime)
    earlier = Script(path=path, source=row["source"], kind=present.kind)
    return await save(earlier, project=project, runtime=runtime)


def _check_path(path: str, project: str) -> None:
    project_of(project)
    if not path.isprintable():
        raise NotFound("There is no script of this path.")


def as_module(name: str, content: Any) -> Script:
    """Return a module that holds data: what `require` of it returns. Pure."""
    part = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:100] or "content"
    text = f"-- Data; it is written anew with each change.\nreturn {luau(content)}\n"
    return checked({"path": f"ReplicatedStorage/AgentContent/{part}", "source": text, "kind": "ModuleScript"})


def luau(value: Any, depth: int = 0) -> str:
    """Return a JSON value as a literal of Luau. Raises `InvalidInput`. Pure."""
    if depth > _MOST_DEPTH:
        raise InvalidInput(f"The data is nested more than {_MOST_DEPTH} levels deep.")
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value) if value == value and abs(value) != float("inf") else "nil"  # noqa: PLR0124  # NaN is not itself
    if isinstance(value, str):
        return quoted(value)
    inner = "\t" * (depth + 1)
    if isinstance(value, Mapping):
        lines = [f"{inner}{_key(str(key))} = {luau(item, depth + 1)},\n" for key, item in value.items()]
    else:
        lines = [f"{inner}{luau(item, depth + 1)},\n" for item in value]
    return "{\n" + "".join(lines) + "\t" * depth + "}" if lines else "{}"


def quoted(text: str) -> str:
    """Return a text as a string of Luau; whatever is in it stays text. Pure."""
    plain = text.encode("utf-8", errors="replace").decode()
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r"}
    return '"' + "".join(escapes.get(one, one if one.isprintable() else "".join(f"\\{byte:03d}" for byte in one.encode())) for one in plain) + '"'  # fmt: skip


def _key(name: str) -> str:
    return name if _NAME.match(name) and name not in _RESERVED else f"[{quoted(name)}]"
