"""One network trained by several processes, with the environment variables that `torchrun` and `run_ranks` set.

Each learns from its share of every batch; only the first validates and writes. The first error reaches the caller.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from logging.handlers import QueueHandler
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.system import leave_terminal

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from torch import Tensor

LAUNCHED = "TORCHELASTIC_RUN_ID"  # without it, the others may be of another program, such as a queue of jobs
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
PATIENCE = timedelta(days=7)  # the others wait while the first one validates
GRACE_S = 2.0  # after a failure, until the others are ended: one that was killed may be why another failed
LOOPBACK = {"linux": "lo", "darwin": "lo0"}


@dataclass(frozen=True)
class Rank:
    """One of the processes that train together, by number from 0 and count, in all and on this computer; by default the only one."""

    index: int = 0
    count: int = 1
    local_index: int = 0
    local_count: int = 1

    @classmethod
    def current(cls) -> Rank:
        """Return the rank of this process."""
        return cls(*(int(os.environ[name]) for name in VARIABLES)) if LAUNCHED in os.environ else cls()

    @property
    def is_first(self) -> bool:
        """Return whether this process validates and writes."""
        return self.index == 0

    def share(self, batch_size: int) -> range:
        """Return the windows of a batch that this process learns from, as positions in the batch."""
        size = batch_size // self.count
        return range(self.index * size, (self.index + 1) * size)

    def own_device(self, device: str) -> str:
        """Return the device of this process: each process has its own GPU."""
        return f"cuda:{self.local_index}" if self.count > 1 and device == "cuda" else device

    @contextmanager
    def group(self, device: str) -> Iterator[None]:
        """Connect the processes, by NCCL or Gloo; they stay connected, as a second connection would find the first one's addresses."""
        if self.count == 1:
            yield
            return
        import torch
        from torch import distributed

        own = None
        if device.startswith("cuda"):
            own = torch.device(device)
            torch.cuda.set_device(own)
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // self.local_count))
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if own else "gloo", timeout=PATIENCE, device_id=own)
            atexit.register(distributed.destroy_process_group)
        yield
        torch.set_num_threads(threads)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a number over the processes, () as `value`; on a GPU without waiting for it."""
        if self.count == 1:
            return value
        from torch import distributed

        total = value.clone()
        distributed.all_reduce(total)
        return total / self.count

    def from_first(self, value: float, device: str) -> float:
        """Return the first process's number, in all processes."""
        if self.count == 1:
            return value
        import torch
        from torch import distributed

        number = torch.tensor(value, dtype=torch.float64, device=device)
        distributed.broadcast(number, src=0)
        return float(number)

    def end_unless_first(self) -> None:
        """End this process, its work done, unless it is the first one. Raises SystemExit."""
        if not self.is_first:
            sys.exit(0)


@dataclass(frozen=True)
class _Failure:
    """Reason why a process ended: an error as class and text, at seconds of the computer's clock."""

    kind: type[BaseException]
    text: str
    at_s: float


def run_ranks(count: int, function: Callable[..., Any], *arguments: Any) -> None:
    """Call function(*arguments) in `count` new processes, each a `Rank`; raises what a process raised first."""
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # where the processes meet; any free port
    context, level = multiprocessing.get_context("spawn"), logging.getLogger("deepnets4eo").getEffectiveLevel()
    processes: list[BaseProcess] = []
    receivers: dict[Connection, int] = {}
    try:
        for index in range(count):
            receiver, sender = context.Pipe(duplex=False)
            environment = _environment(index, count, store.port)
            work = (sender, environment, level, function, arguments)
            processes.append(context.Process(target=_work, args=work, daemon=True))
            processes[-1].start()
            sender.close()
            receivers[receiver] = index
        with _interrupts_to(processes[0]) as interrupts:
            failures = _follow(processes, receivers)
    finally:
        for process in (child for child in processes if child.pid is not None):
            process.kill()
            process.join()
    if failures:
        first = min(failures, key=lambda failure: failure.at_s)
        raise KeyboardInterrupt if interrupts else first.kind(first.text)


def _environment(index: int, count: int, port: int) -> dict[str, str]:
    """Return the variables of `torchrun`, for one computer."""
    numbers = dict(zip(VARIABLES, map(str, (index, count, index, count)), strict=True))
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    network = {"GLOO_SOCKET_IFNAME": LOOPBACK[sys.platform]} if sys.platform in LOOPBACK else {}
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # else DDP warns of every network in which it finds no unused weight
    return {**network, **quiet, **os.environ, **numbers, **meeting, LAUNCHED: f"deepnets4eo-{os.getpid()}"}


def _follow(processes: list[BaseProcess], receivers: dict[Connection, int]) -> list[_Failure]:
    """Handle what the processes send until they have ended, or `GRACE_S` after a failure; returns the failures."""
    failures: dict[int, _Failure] = {}
    ends_s = float("inf")
    while receivers and time.monotonic() < ends_s:
        ready = connection.wait(list(receivers), None if ends_s == float("inf") else ends_s - time.monotonic())
        for receiver in receivers.keys() & ready:
            index = receivers[receiver]
            try:
                message = receiver.recv()
            except EOFError:
                del receivers[receiver]
                processes[index].join(GRACE_S)
                if processes[index].exitcode and index not in failures:
                    failures[index] = _silent_failure(index, processes)
            else:
                if isinstance(message, logging.LogRecord):
                    _log(message)
                else:
                    failures[index] = message
        if failures:
            ends_s = min(ends_s, time.monotonic() + GRACE_S)
    return list(failures.values())


def _silent_failure(index: int, processes: list[BaseProcess]) -> _Failure:
    """Failure of a process that died silently; reported first, since later ones follow from it."""
    code = processes[index].exitcode or 0
    if code < 0:
        how = f"was ended by {signal.Signals(-code).name}. Where memory ran out, lower train.batch_size or data.num_workers."
    else:
        how = f"ended with exit status {code}; what it printed is above."
    return _Failure(DeepNets4EOError, f"process {index + 1} of {len(processes)} {how}", 0.0)


def _log(record: logging.LogRecord) -> None:
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


@contextmanager
def _interrupts_to(process: BaseProcess) -> Iterator[list[int]]:
    """Within the context the first Ctrl-C is passed on, and the second raises KeyboardInterrupt; yields those so far."""
    interrupts: list[int] = []

    def pass_on(signum: int, _: object) -> None:
        if interrupts:
            raise KeyboardInterrupt
        interrupts.append(signum)
        if os.name == "posix" and process.pid is not None:  # elsewhere Ctrl-C reaches all processes of a terminal
            os.kill(process.pid, signum)

    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


class _Forward(QueueHandler):
    """Sends log records to the caller's process; its queue is a connection."""

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.send(record)  # type: ignore[attr-defined]


def _work(
    sender: Any, environment: dict[str, str], level: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    """Run one process from start to end."""
    leave_terminal()
    threading.Thread(target=_end_with_caller, daemon=True).start()
    os.environ.update(environment)
    logging.getLogger().addHandler(_Forward(sender))
    logging.getLogger().setLevel(level)
    kind: type[BaseException]
    try:
        function(*arguments)
    except DeepNets4EOError as error:
        kind, text = type(error), str(error)
    except KeyboardInterrupt:
        kind, text = KeyboardInterrupt, ""
    except Exception:
        number = f"{int(environment[VARIABLES[0]]) + 1} of {environment[VARIABLES[1]]}"
        kind, text = DeepNets4EOError, f"process {number} failed:\n{traceback.format_exc()}"
    else:
        return
    sender.send(_Failure(kind, text, time.monotonic()))
    sys.exit(1)


def _end_with_caller() -> None:
    caller = multiprocessing.parent_process()
    if caller is not None:
        caller.join()
        os._exit(1)
