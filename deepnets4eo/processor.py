"""Measurement of the precision in which this processor computes networks faster; kept per processor model and version of PyTorch.

No flag answers this: with AVX512-BF16, bfloat16 was 1.7 times slower than float32 on one processor, 1.8 times faster on another.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import read_json, write_json
from deepnets4eo.lazy import is_installed
from deepnets4eo.version import __version__

PRECISIONS = ("float32", "bfloat16")
CHANNELS, SIDE_PX = 64, 96  # of a convolution by 3 x 3, as in the decoders of the shipped networks: .01 s in float32
ROUNDS = 5  # in turn, of which the fastest counts: other programs only slow down
MIN_GAIN = 1.25  # of a convolution; the rest of a network gains less, and bfloat16 has 8 bits
FILE = "precision.json"


@cache
def fastest_precision() -> str:
    """Return "bfloat16" if this processor computes a convolution at least 1.25 times as fast in it, else "float32".

    Takes .1 s the first time on a processor, then reads the answer from the user's folder of caches.
    """
    seconds = kept_measurement(FILE, "", PRECISIONS, lambda: time_convolution())
    return "bfloat16" if seconds["float32"] >= MIN_GAIN * seconds["bfloat16"] else "float32"


def kept_measurement(
    name: str, subject: str, values: Sequence[str], measure: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """Return the values of a subject that a file of the user's caches keeps for this processor, else measure and keep them."""
    file, key = cache_folder() / name, ", ".join(filter(None, (_identity(), subject)))
    kept = _read(file, values)
    measured = kept.get(key)
    if measured is None:
        measured = measure()
        with suppress(DeepNets4EOError, OSError):  # a folder that is read-only: measured again the next time
            write_json(file, kept | {key: measured})
    return measured


def time_convolution() -> dict[str, float]:
    """Return the seconds of processor time that one convolution takes on one thread, by precision."""
    import torch
    import torch.nn.functional as F

    image, weight = torch.ones(1, CHANNELS, SIDE_PX, SIDE_PX), torch.ones(CHANNELS, CHANNELS, 3, 3)
    seconds, threads = dict.fromkeys(PRECISIONS, float("inf")), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(ROUNDS):
                for precision in PRECISIONS:
                    pixels, kernel = (
                        tensor.to(getattr(torch, precision), memory_format=torch.channels_last)
                        for tensor in (image, weight)
                    )
                    started = time.thread_time()
                    F.conv2d(pixels, kernel, padding=1)
                    seconds[precision] = min(seconds[precision], time.thread_time() - started)
    finally:
        torch.set_num_threads(threads)
    return {precision: round(value, 6) for precision, value in seconds.items()}


def cache_folder() -> Path:
    """Return the user's folder of caches for this toolbox: XDG_CACHE_HOME or LOCALAPPDATA, else ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/.cache")
    return Path(root) / "deepnets4eo"


def _identity() -> str:
    """Return the processor model, a hash of its flags and the versions of toolbox and PyTorch, which is not loaded for it."""
    model, flags = processor_model()
    short = hashlib.sha256(flags.encode()).hexdigest()[:8]
    torch = importlib.metadata.version("torch") if is_installed("torch") else "none"
    return f"{model}, flags {short}, deepnets4eo {__version__}, torch {torch}"


def processor_model() -> tuple[str, str]:
    """Return the name of the processor, and its flags ("" if the system does not list them)."""
    lines = dict[str, str]()
    with suppress(OSError, UnicodeDecodeError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            lines.setdefault(name.strip(), value.strip())
    model = lines.get("model name") or lines.get("CPU part") or platform.processor() or platform.machine()
    return model, lines.get("flags") or lines.get("Features", "")


def _read(file: Path, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the kept measurements that are whole; {} without the file."""
    try:
        values = read_json(file)
        return {str(key): {name: float(measured[name]) for name in names} for key, measured in values.items()}
    except (DeepNets4EOError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
