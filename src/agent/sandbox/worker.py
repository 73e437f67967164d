"""The program inside the sandbox: it runs the code of one tool at a time in Monty, and asks its parent for everything else.

`agent.sandbox.sandbox` starts it as a process of its own, with only the standard library and pydantic_monty.
A frame, in both directions, is four bytes of length, then a JSON object. The tool's results and arguments of host functions become
JSON text inside Monty, under its limits, so that this process never builds a value of the tool.

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
_MAX_ERROR = 4_000
_MAX_FRAME = 64_000_000
# For many small objects the interpreter takes up to 18 % more memory than it counts.
_COUNTED_SHARE = 0.915
# Address space that the interpreter needs beside its heap, and the type checker for its work.
_SPARE_MEMORY = 192_000_000
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


def _agent_input():
    import json
    return json.loads(_agent_arguments)
"""
_FUNCTION = """
def {0}(**arguments):
    return _agent_ask("{0}", arguments)
"""


class Failed(Exception):
    """The tool's code failed. `kind`: syntax, typing, error, limit or protocol."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Pipes:
    """The two pipes to the parent."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer

    def receive(self) -> dict[str, Any]:
        """Return the next frame. Raises `EOFError` when the parent has closed its pipe."""
        (length,) = struct.unpack(">I", self._exactly(4))
        frame: dict[str, Any] = json.loads(self._exactly(length))
        return frame

    def send(self, **frame: Any) -> None:
        """Send one frame."""
        data = json.dumps(frame).encode()
        view = memoryview(struct.pack(">I", len(data)) + data)
        while view:
            view = view[os.write(self._writer, view) :]

    def _exactly(self, length: int) -> bytes:
        if length > _MAX_FRAME:
            raise EOFError
        parts = bytearray()
        while len(parts) < length:
            part = os.read(self._reader, length - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


class Worker:
    """Answers frames until the parent ends."""

    def __init__(self, pipes: Pipes, pool: Any) -> None:
        self._pipes, self._pool = pipes, pool
        self._limited = 0

    def serve(self) -> None:
        """Answer one request after the other."""
        while True:
            request = self._pipes.receive()
            try:
                self._pipes.send(**getattr(self, f"do_{request['do']}")(request))
            except Failed as failed:
                self._pipes.send(**{"is": "failed", "kind": failed.kind, "text": str(failed)[:_MAX_ERROR]})

    def do_check(self, request: dict[str, Any]) -> dict[str, Any]:
        """Check that the code is one function `run` and well typed."""
        _check_shape(request["code"])
        options = {"type_check": True, "type_check_stubs": request["stubs"], "type_check_format": "concise"}
        code = f"{request['code']}\n{request['calls']}\n'null'\n"
        with self._interpreter(request, **options) as interpreter:
            return self._run(interpreter, request, lambda out: interpreter.feed_start(code, print_callback=out))

    def do_run(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the code, then `then`, whose last expression is the result as text."""
        prelude = _PRELUDE + "".join(_FUNCTION.format(name) for name in request["functions"])
        inputs = {"_agent_arguments": request["arguments"]}
        policy = {
            "sleep": "zero", "datetime": datetime.fromisoformat(request["clock"]), "random_start": {"seed": request["seed"]},
        }  # fmt: skip
        code = f"{request['code']}\n\n{request['then']}\n"
        with self._interpreter(request, os_policy=policy) as interpreter:
            interpreter.feed_run(prelude, inputs=inputs)
            return self._run(interpreter, request, lambda out: interpreter.feed_start(code, print_callback=out))

    def do_restore(self, request: dict[str, Any]) -> dict[str, Any]:
        """Continue a run that was saved while it waited for a host function's answer."""
        state = base64.b64decode(request["state"])
        with self._interpreter(request) as interpreter:
            return self._run(interpreter, request, lambda out: interpreter.load_snapshot(state, print_callback=out))

    def _interpreter(self, request: dict[str, Any], **options: Any) -> Any:
        limits = request["limits"]
        return self._pool.checkout(
            limits={
                "max_feed_duration_secs": limits["seconds"], "max_turn_duration_secs": limits["seconds"],
                "max_memory": int(limits["memory"] * _COUNTED_SHARE), "max_recursion_depth": limits["recursion"],
                "max_suspensions": 10 * limits["calls"], "max_total_sleep_secs": 0.0,
            },
            **{"os_policy": {"sleep": "zero"}, **options},
        )  # fmt: skip

    def _run(self, interpreter: Any, request: dict[str, Any], start: Any) -> dict[str, Any]:
        """Run to the end, one host call after the other."""
        import pydantic_monty as monty

        printed = monty.CollectString(max_bytes=request["limits"]["printed"])
        self._limit(interpreter.worker_pid, request["limits"]["memory"])
        try:
            calls = request.get("calls", 0)
            snapshot = start(printed)
            if "answer" in request:
                _expect_host_call(snapshot)
                snapshot = snapshot.resume({"return_value": request["answer"]})
            while not isinstance(snapshot, monty.MontyComplete):
                if not (
                    isinstance(snapshot, monty.FunctionSnapshot)
                    and snapshot.function_name == _HOST
                    and not snapshot.is_os_function
                ):
                    snapshot = _refuse(snapshot)
                    continue
                calls += 1
                snapshot = snapshot.resume({"return_value": self._ask(snapshot, request, calls)})
            return _done(snapshot.output, printed.output, request)
        except monty.MontyError as error:
            raise _failure(error) from None

    def _ask(self, snapshot: Any, request: dict[str, Any], calls: int) -> str:
        limits = request["limits"]
        match snapshot.args:
            case (str() as name, str() as text) if not snapshot.kwargs and name in request["functions"]:
                pass
            case _:
                raise Failed("protocol", "A host function was called in a way that is not allowed.")
        if calls > limits["calls"]:
            raise Failed("limit", f"The tool called host functions more than {limits['calls']} times.")
        if len(text) > limits["text"]:
            raise Failed("limit", f"The arguments of {name} are longer than {limits['text']} characters.")
        self._pipes.send(**{"is": "call", "name": name, "text": text})
        while True:
            answer = self._pipes.receive()
            if answer["do"] == "answer":
                return str(answer["text"])
            self._pipes.send(**{"is": "state", "state": base64.b64encode(snapshot.dump()).decode()})

    def _limit(self, pid: int | None, memory: int) -> None:
        """Limit the interpreter's process, in case its heap limit misses something."""
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
    reserved = sorted({name for name in _names(body) if name.startswith("_agent_")})
    if reserved:
        raise Failed("syntax", f"A tool's code must not use names that begin with _agent_: {', '.join(reserved)}.")


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield node.name


def _refuse(snapshot: Any) -> Any:
    """Refuse everything that is no host call: unknown names, files, the environment."""
    import pydantic_monty as monty

    if isinstance(snapshot, monty.NameLookupSnapshot):
        return snapshot.resume()
    if isinstance(snapshot, monty.FunctionSnapshot) and snapshot.is_os_function:
        return snapshot.resume_not_handled()
    if isinstance(snapshot, monty.FunctionSnapshot):
        return snapshot.resume(
            {"exc_type": "NameError", "message": f"name {str(snapshot.function_name)[:100]!r} is not defined"}
        )
    raise Failed("error", "The code awaits something that never happens.")


def _expect_host_call(snapshot: Any) -> None:
    if getattr(snapshot, "function_name", None) != _HOST:
        raise Failed("protocol", "The stored state is not that of a tool that waits for a host function.")


def _done(output: Any, printed: str, request: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(output, str):
        raise Failed("protocol", "The result is not text.")
    if len(output) > request["limits"]["text"]:
        raise Failed("limit", f"The result is longer than {request['limits']['text']} characters.")
    return {"is": "done", "text": output, "printed": printed}


def _failure(error: Any) -> Failed:
    import pydantic_monty as monty

    if isinstance(error, monty.MontyCrashedError):
        return Failed("limit", "The interpreter was ended: it needed too much memory or time.")
    if isinstance(error, monty.MontyTypingError):
        return Failed("typing", error.display())
    if isinstance(error, monty.MontySyntaxError):
        return Failed("syntax", str(error))
    limit = isinstance(error, monty.MontyRuntimeError) and isinstance(
        error.exception(), (MemoryError, TimeoutError, RecursionError)
    )
    text = error.display() if isinstance(error, monty.MontyRuntimeError) else str(error)
    return Failed("limit" if limit else "error", text[-_MAX_ERROR:])


def _limit_this_process(*, seconds: int, space: int) -> None:
    """Limit this process for all its runs; the interpreter's process inherits the limits."""
    for name, value in (
        (resource.RLIMIT_AS, space), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        hard = resource.getrlimit(name)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(name, (limit, limit))


def main() -> None:
    """Read the arguments (seconds and address space of a process, Monty's binary, folders of packages) and serve."""
    seconds, space, binary, *folders = sys.argv[1:]
    sys.path[:0] = folders
    pipes = Pipes(os.dup(0), os.dup(1))
    null_device = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # the parent gets nothing but frames
        os.dup2(null_device, stream)
    _limit_this_process(seconds=int(seconds), space=int(space))
    import pydantic_monty

    with pydantic_monty.Monty(binary_path=binary, min_processes=1, max_processes=1) as pool:
        with pool.checkout() as interpreter:
            interpreter.feed_run("1")
        pipes.send(**{"is": "ready", "version": pydantic_monty.__version__})
        try:
            Worker(pipes, pool).serve()
        except (EOFError, BrokenPipeError):
            return


if __name__ == "__main__":
    main()
