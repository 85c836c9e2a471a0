"""A verb of the command line in its own process, which ends with the server that started it: `python -m deepnets4eo.assistant.verb WORDS`.

The server keeps the standard input of the process open. However the server ends, the system closes it, and the process sees that.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Thread
from typing import Any

ENDS = {0: "done", 2: "refused: the input is wrong", 3: "done, but the map is not to be used as it is"}
ABANDONED = 70  # status of a process whose server has ended
_started: ContextVar[list[subprocess.Popen[str]] | None] = ContextVar("started", default=None)


def run_verb(*words: str) -> dict[str, Any]:
    """Run a verb; standard output of this process is the protocol's, so the verb has its own."""
    command = [sys.executable, "-m", __name__, *words]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, encoding="utf-8", errors="replace", **pipes) as process:
        if (started := _started.get()) is not None:
            started.append(process)
        output, errors = _read_all(process)
    messages = [line.rstrip() for line in errors.splitlines() if line.strip()]
    return {"end": ENDS.get(process.returncode, "failed"), "output": output.strip(), "messages": messages}


def _read_all(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a process writes; unlike `communicate`, its standard input stays open meanwhile."""
    assert process.stdout is not None
    assert process.stderr is not None
    errors: list[str] = []
    reader = Thread(target=lambda stream: errors.append(stream.read()), args=(process.stderr,), daemon=True)
    reader.start()
    output = process.stdout.read()
    reader.join()
    process.wait()
    return output, "".join(errors)


@contextmanager
def ending_verbs() -> Iterator[None]:
    """Provide a context that ends the verbs that were started in it, also from its threads, if it is left by an error."""
    started: list[subprocess.Popen[str]] = []
    token = _started.set(started)
    try:
        yield
    except BaseException:
        for process in started:
            process.kill()
        raise
    finally:
        _started.reset(token)


def main() -> None:
    """Run the verb of the arguments until it is done, or standard input ends; leaves with its status."""
    Thread(target=_wait_for_end, daemon=True).start()
    runpy.run_module("deepnets4eo", run_name="__main__", alter_sys=True)


def _wait_for_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):  # unbuffered: Python cannot end while a buffer is locked by a thread
        pass
    os._exit(ABANDONED)


if __name__ == "__main__":
    main()
