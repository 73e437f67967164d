"""The program inside of the sandbox: runs one tool's code at a time in Monty, and asks its parent for everything else.

Started by `agent.sandbox.sandbox` as a process of its own, with nothing but the standard library and pydantic_monty.
Frames in both directions: four bytes of length, then a JSON object. What the tool hands over (results, arguments of host
functions) is made into JSON text inside of Monty, under its limits, so that no value of a tool's making is ever built here.

    parent: run | restore | answer | dump | check          here: ready | call | state | done | failed
"""

from __future__ import annotations

import ast
import base64
import json
import os
import resource
import struct
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

_HOST = "_agent_host"
_MOST_ERROR = 4_000
_MOST_FRAME = 64_000_000
# Of many small objects the interpreter takes up to 18 % more memory than it counts.
_COUNTED = 0.915
_SPARE_MEMORY = (
    192_000_000  # address space that an interpreter needs beside its heap, and the type checker for its work
)
_PRELUDE = """
def _agent_ask(name, arguments):
    import json
    answer = json.loads(_agent_host(name, json.dumps(arguments)))
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["value"]


def _agent_text(value):
    import json
    return json.dumps(value)


def _agent_given():
    import json
    return json.loads(_agent_arguments)
"""
_FUNCTION = """
def {0}(**arguments):
    return _agent_ask("{0}", arguments)
"""


class Failed(Exception):
    """The tool's code did not come to its end. `kind`: syntax, typing, error, limit or protocol."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Channel:
    """The two pipes to the parent."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer

    def receive(self) -> dict[str, Any]:
        """The next frame. Raises `EOFError` when the parent has gone."""
        (length,) = struct.unpack(">I", self._exactly(4))
        frame: dict[str, Any] = json.loads(self._exactly(length))
        return frame

    def send(self, **frame: Any) -> None:
        """Hand over one frame."""
        data = json.dumps(frame).encode()
        view = memoryview(struct.pack(">I", len(data)) + data)
        while view:
            view = view[os.write(self._writer, view) :]

    def _exactly(self, length: int) -> bytes:
        if length > _MOST_FRAME:
            raise EOFError
        parts = bytearray()
        while len(parts) < length:
            part = os.read(self._reader, length - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


class Worker:
    """Serves frames until the parent goes."""

    def __init__(self, channel: Channel, pool: Any) -> None:
        self._channel, self._pool = channel, pool
        self._limited = 0

    def serve(self) -> None:
        """One request after the other."""
        while True:
            request = self._channel.receive()
            try:
                self._channel.send(**getattr(self, f"do_{request['do']}")(request))
            except Failed as failed:
                self._channel.send(**{"is": "failed", "kind": failed.kind, "text": str(failed)[:_MOST_ERROR]})

    def do_check(self, request: dict[str, Any]) -> dict[str, Any]:
        """Whether the code is what a tool is: one function `run`, well typed."""
        _check_shape(request["code"])
        options = {"type_check": True, "type_check_stubs": request["stubs"], "type_check_format": "concise"}
        code = f"{request['code']}\n{request['calls']}\n'null'\n"
        with self._session(request, **options) as session:
            return self._drive(session, request, lambda out: session.feed_start(code, print_callback=out))

    def do_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """The code, then `then`, whose last expression is the result as text."""
        prelude = _PRELUDE + "".join(_FUNCTION.format(name) for name in request["functions"])
        given = {"_agent_arguments": request["arguments"]}
        policy = {
            "sleep": "zero", "datetime": datetime.fromisoformat(request["clock"]), "random_start": {"seed": request["seed"]},
        }  # fmt: skip
        code = f"{request['code']}\n\n{request['then']}\n"
        with self._session(request, os_policy=policy) as session:
            session.feed_run(prelude, inputs=given)
            return self._drive(session, request, lambda out: session.feed_start(code, print_callback=out))

    def do_restore(self, request: dict[str, Any]) -> dict[str, Any]:
        """Go on with a run that was taken away while it waited for a host function's answer."""
        state = base64.b64decode(request["state"])
        with self._session(request) as session:
            return self._drive(session, request, lambda out: session.load_snapshot(state, print_callback=out))

    def _session(self, request: dict[str, Any], **options: Any) -> Any:
        limits = request["limits"]
        return self._pool.checkout(
            limits={
                "max_feed_duration_secs": limits["seconds"], "max_turn_duration_secs": limits["seconds"],
                "max_memory": int(limits["memory"] * _COUNTED), "max_recursion_depth": limits["recursion"],
                "max_suspensions": 10 * limits["calls"], "max_total_sleep_secs": 0.0,
            },
            **{"os_policy": {"sleep": "zero"}, **options},
        )  # fmt: skip

    def _drive(self, session: Any, request: dict[str, Any], start: Any) -> dict[str, Any]:
        """Run to the end, one host call after the other."""
        import pydantic_monty as monty

        printed = monty.CollectString(max_bytes=request["limits"]["printed"])
        self._limit(session.worker_pid, request["limits"]["memory"])
        try:
            calls = request.get("calls", 0)
            place = start(printed)
            if "answer" in request:
                _expect_host_call(place)
                place = place.resume({"return_value": request["answer"]})
            while not isinstance(place, monty.MontyComplete):
                if not (
                    isinstance(place, monty.FunctionSnapshot)
                    and place.function_name == _HOST
                    and not place.is_os_function
                ):
                    place = _unanswered(place)
                    continue
                calls += 1
                place = place.resume({"return_value": self._ask(place, request, calls)})
            return _done(place.output, printed.output, request)
        except monty.MontyError as error:
            raise _failure(error) from None

    def _ask(self, place: Any, request: dict[str, Any], calls: int) -> str:
        limits = request["limits"]
        match place.args:
            case (str() as name, str() as text) if not place.kwargs and name in request["functions"]:
                pass
            case _:
                raise Failed("protocol", "A host function was called in a way that is not offered.")
        if calls > limits["calls"]:
            raise Failed("limit", f"It called host functions more than {limits['calls']} times.")
        if len(text) > limits["text"]:
            raise Failed("limit", f"The arguments of {name} are longer than {limits['text']} characters.")
        self._channel.send(**{"is": "call", "name": name, "text": text})
        while True:
            answer = self._channel.receive()
            if answer["do"] == "answer":
                return str(answer["text"])
            self._channel.send(**{"is": "state", "state": base64.b64encode(place.dump()).decode()})

    def _limit(self, pid: int | None, memory: int) -> None:
        """The interpreter's own process: what its heap limit forgets ends here."""
        if pid is None or pid == self._limited:
            return
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
        room = pages * resource.getpagesize() + memory + _SPARE_MEMORY
        resource.prlimit(pid, resource.RLIMIT_AS, (room, room))
        for name in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
            resource.prlimit(pid, name, (0, 0))
        self._limited = pid


def _check_shape(code: str) -> None:
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Failed("syntax", f"The code is not Python: {error}") from None
    runs = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == "run"]
    if len(runs) != 1:
        raise Failed("syntax", "The code must define exactly one function `run`, not async, at its top level.")
    taken = sorted({name for name in _names(body) if name.startswith("_agent_")})
    if taken:
        raise Failed("syntax", f"Names that begin with _agent_ are not for a tool's code: {', '.join(taken)}.")


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.name


def _unanswered(place: Any) -> Any:
    """Nothing else is there: unknown names, files, the environment."""
    import pydantic_monty as monty

    if isinstance(place, monty.NameLookupSnapshot):
        return place.resume()
    if isinstance(place, monty.FunctionSnapshot) and place.is_os_function:
        return place.resume_not_handled()
    if isinstance(place, monty.FunctionSnapshot):
        return place.resume(
            {"exc_type": "NameError", "message": f"name {str(place.function_name)[:100]!r} is not defined"}
        )
    raise Failed("error", "The code awaits something that never comes.")


def _expect_host_call(place: Any) -> None:
    if getattr(place, "function_name", None) != _HOST:
        raise Failed("protocol", "The stored state is not one of a tool that waits for a host function.")


def _done(output: Any, printed: str, request: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(output, str):
        raise Failed("protocol", "The result did not come as text.")
    if len(output) > request["limits"]["text"]:
        raise Failed("limit", f"The result is longer than {request['limits']['text']} characters.")
    return {"is": "done", "text": output, "printed": printed}


def _failure(error: Any) -> Failed:
    import pydantic_monty as monty

    if isinstance(error, monty.MontyCrashedError):
        return Failed("limit", "The interpreter was ended: it needed more memory or time than a tool has.")
    if isinstance(error, monty.MontyTypingError):
        return Failed("typing", error.display())
    if isinstance(error, monty.MontySyntaxError):
        return Failed("syntax", str(error))
    limit = isinstance(error, monty.MontyRuntimeError) and isinstance(
        error.exception(), (MemoryError, TimeoutError, RecursionError)
    )
    text = error.display() if isinstance(error, monty.MontyRuntimeError) else str(error)
    return Failed("limit" if limit else "error", text[-_MOST_ERROR:])


def _limit_itself(*, seconds: int, space: int) -> None:
    """What the interpreter's process inherits too, over all the runs of this worker."""
    for name, most in (
        (resource.RLIMIT_AS, space), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        hard = resource.getrlimit(name)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(name, (limit, limit))


def main() -> None:
    """The arguments: most seconds and address space of a process, Monty's binary, then where pydantic_monty is."""
    seconds, space, binary, *places = sys.argv[1:]
    sys.path[:0] = places
    channel = Channel(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # nothing but frames goes to the parent
        os.dup2(nothing, stream)
    _limit_itself(seconds=int(seconds), space=int(space))
    import pydantic_monty

    with pydantic_monty.Monty(binary_path=binary, min_processes=1, max_processes=1) as pool:
        with pool.checkout() as session:
            session.feed_run("1")
        channel.send(**{"is": "ready", "version": pydantic_monty.__version__})
        try:
            Worker(channel, pool).serve()
        except (EOFError, BrokenPipeError):
            return


if __name__ == "__main__":
    main()
