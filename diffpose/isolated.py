"""Parsers of foreign binary files in a process of their own, with limits of time and memory.

Such a parser is C code that meets bytes from strangers: it may crash, hang or ask for all memory,
and a hole in it runs code. Here that happens to a short-lived interpreter, which can write no
file, knows nothing of the caller's environment, and answers in JSON and plain arrays, which are
checked, never unpickled.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import numpy as np

import diffpose.errors as errors
from diffpose.errors import DiffPoseError, FormatError

SECONDS = 8.0
MEMORY = 2**30
_WALL = 4  # seconds on the clock for each of processor time: the machine may be busy
_MOST_HEADER = 2**26
_NUMBERS = re.compile(r"[<>|=][biufS][0-9]{1,9}")
_KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
# Before anything else is imported: one thread, because threads' stacks count as memory.
_START = (
    "import json, sys; request = json.loads(sys.stdin.buffer.read()); "
    "sys.path[:] = request['path']; from diffpose.isolated import _answer; _answer(request)"
)


def run_isolated(
    function: str,
    *arguments: Any,
    what: str,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    error: type[DiffPoseError] = FormatError,
) -> Any:
    """Call a function in a fresh interpreter and take its answer apart with care.

    The interpreter imports the function's module and nothing else, so that module should import
    little. Memory and processor time are limited where the system can (Linux, macOS in part);
    time on the clock everywhere.

    Args:
        function: ``module:name``.
        arguments: JSON values.
        what: What to call the input in messages, such as a file's name.
        seconds: Processor time it may take; on the clock four times as much.
        memory: Bytes of address space it may use, and bytes its answer may have.
        error: What to raise.

    Returns:
        What the function returned: JSON values, with NumPy arrays of numbers, booleans or bytes of
        fixed length anywhere in them.

    Raises:
        DiffPoseError: The function raised it; or as ``error``: it failed otherwise, crashed, took
            too long or needed too much memory.
    """
    # The package's own folder first: an editable install finds it by a hook that is left out here.
    here = str(Path(__file__).parents[1])
    request = {
        "path": [here, *(entry for entry in sys.path if entry and entry != here)],
        "function": function,
        "arguments": arguments,
        "seconds": seconds,
        "memory": memory,
    }
    answer, ending = _converse(json.dumps(request).encode(), _WALL * seconds, memory)
    if ending is None:
        raise error(
            f"Reading {what} took longer than {seconds:g} s and was stopped; the file is damaged "
            "or larger than what is read here."
        )
    # The system ends a process that is over its processor time by SIGXCPU or SIGKILL.
    if ending in (-24, -9):
        raise error(
            f"Reading {what} was stopped after {seconds:g} s of work; the file is damaged or "
            "larger than what is read here."
        )
    try:
        return _checked(answer, error, what, memory)
    except (ValueError, KeyError, TypeError, RecursionError) as failure:
        if isinstance(failure, DiffPoseError):
            raise
        raise error(
            f"The reader of {what} broke off; the file is damaged. Export or copy it again."
        ) from None


def _converse(request: bytes, seconds: float, most: int) -> tuple[bytes, int | None]:
    """What the process says, and its exit status; None if it took too long."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    single = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment, **single},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said: list[bytes] = []
    reader = threading.Thread(target=_collect, args=(process.stdout, said, most), daemon=True)
    reader.start()
    try:
        process.stdin.write(request)
        process.stdin.close()
    except OSError:  # it has died already, which its status tells
        pass
    try:
        reader.join(seconds)
        late = reader.is_alive()
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()
    return b"".join(said), None if late else process.returncode


def _collect(pipe: IO[bytes], said: list[bytes], most: int) -> None:
    """Read to the end, but no more than may be said."""
    left = most
    while left > 0 and (block := pipe.read(min(left, 2**20))):
        said.append(block)
        left -= len(block)


def _checked(answer: bytes, error: type[DiffPoseError], what: str, memory: int) -> Any:
    length = int.from_bytes(answer[:8], "little")
    if not 0 < length <= min(_MOST_HEADER, len(answer) - 8):
        raise ValueError("no answer")
    head = json.loads(answer[8 : 8 + length])
    if "error" in head:
        kind, words = (str(word)[:2000] for word in head["error"])
        known = getattr(errors, kind, None)
        if isinstance(known, type) and issubclass(known, DiffPoseError):
            raise known(words)
        if kind == "MemoryError":
            raise error(
                f"Reading {what} needs more than {memory // 2**20} MB; the file is damaged or "
                "larger than what is read here."
            )
        raise error(f"{what} cannot be read ({kind}: {words[:300]}); export or copy it again.")
    return _unpacked(head["value"], memoryview(answer)[8 + length :])


def _unpacked(value: Any, data: memoryview) -> Any:
    """JSON values with the arrays put where they belong."""
    if isinstance(value, list):
        return [_unpacked(item, data) for item in value]
    if not isinstance(value, dict):
        return value
    if "$array" not in value:
        return {key: _unpacked(item, data) for key, item in value.items()}
    kind, shape, start = value["$array"]
    if not _NUMBERS.fullmatch(kind) or len(shape) > 8 or min((*shape, start)) < 0:
        raise ValueError("no array")
    dtype = np.dtype(kind)
    stop = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if stop > len(data):
        raise ValueError("an array beyond the answer")
    return np.frombuffer(data[start:stop], dtype).reshape(shape).copy()


def _answer(request: dict[str, Any]) -> None:
    """The other side: call the function and write what it returns to standard output."""
    # Whatever the libraries print goes elsewhere.
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit(request["seconds"], request["memory"])
    blocks: list[bytes] = []
    try:
        module, name = request["function"].split(":")
        function = getattr(__import__(module, fromlist=[name]), name)
        head = {"value": _packed(function(*request["arguments"]), blocks)}
        text = json.dumps(head).encode()
    except BaseException as failure:
        blocks, text = [], _failure(failure)
    for block in (len(text).to_bytes(8, "little"), text, *blocks):
        channel.write(block)
    channel.flush()
    os._exit(0)  # a destructor that crashes changes nothing any more


def _failure(failure: BaseException) -> bytes:
    words = " ".join(str(failure).split())[:2000]
    return json.dumps({"error": [type(failure).__name__, words]}).encode()


def _packed(value: Any, blocks: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        start = sum(map(len, blocks))
        blocks.append(np.ascontiguousarray(value).tobytes())
        return {"$array": [value.dtype.str, value.shape, start]}
    if isinstance(value, dict):
        return {str(key): _packed(item, blocks) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item, blocks) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _limit(seconds: float, memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    limits = {
        "RLIMIT_CPU": int(seconds) + 1,
        "RLIMIT_AS": memory,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 64,
    }
    for name, most in limits.items():
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # macOS refuses some of these limits; the clock and the pipe still hold.
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):
            continue
