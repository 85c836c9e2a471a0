"""Device and precision of network computations, and measurement of the GPU memory that work takes, by doing it once.

Refuses devices and precisions that this machine does not have; without PyTorch everything is on the CPU in float32.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from deepnets4eo.errors import InputError
from deepnets4eo.lazy import check_extra, is_installed, name_missing_extra
from deepnets4eo.processor import fastest_precision
from deepnets4eo.system import cores

PRECISIONS = ("float32", "bfloat16", "float16")
TORCH, OPENVINO, INT8, OPENVINO_INT8 = RUNTIMES = ("torch", "openvino", "onnx-int8", "openvino-int8")
CHOICES = "Choose auto, cpu, cuda or cuda:N."
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # names and numbers of glibc's malloc.h
KEPT_HEAP = 128 << 20, 1 << 30  # largest block from the heap, free bytes that stay at its end
USUAL_HEAP = 32 << 20, 64 << 20  # the largest values that glibc takes by itself
NO_FLOAT16 = "precision float16 is for GPUs; on a CPU it is slower than float32. Use --precision auto."


@dataclass(frozen=True)
class Compute:
    """A device, a precision, a number of CPU threads and a runtime; the same values give the same bits."""

    device: str = "cpu"
    precision: str = "float32"
    threads: int = 1
    runtime: str = TORCH

    @property
    def arithmetic(self) -> str:
        """Return the type of the numbers that a network is computed in that has weights for the runtime."""
        return "int8" if self.by_int8 else self.precision

    @property
    def by_torch(self) -> bool:
        """Return whether PyTorch computes all networks."""
        return self.runtime == TORCH

    @property
    def by_int8(self) -> bool:
        """Return whether ONNX Runtime or OpenVINO computes the networks that have int8 weights."""
        return self.runtime in (INT8, OPENVINO_INT8)

    @property
    def by_openvino(self) -> bool:
        """Return whether OpenVINO computes in float32 the networks that it can compile."""
        return self.runtime == OPENVINO

    def by(self, runtime: str) -> Compute:
        """Return the same by another runtime."""
        return replace(self, runtime=runtime)

    def to_dict(self) -> dict[str, str | int]:
        """Plain values for progress files and manifests."""
        return {"device": self.device, "precision": self.precision, "threads": self.threads, "runtime": self.runtime}

    @contextmanager
    def torch_settings(self) -> Iterator[None]:
        """Within the context PyTorch, if loaded, uses these threads and repeatable kernels, and keeps its memory."""
        torch = sys.modules.get("torch")
        if torch is None:
            with keep_freed_memory():
                yield
            return
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with cudnn_settings(deterministic=True), keep_freed_memory():
                yield
        finally:
            torch.set_num_threads(threads)


def choose(
    device: str = "auto", precision: str = "auto", threads: int | None = None, *, runtime: str = TORCH
) -> Compute:
    """Choose a device ("auto": CUDA if available), a precision ("auto": as `fastest_precision`, or what a GPU has matrix units for) and threads.

    runtime : "openvino" computes networks in float32 on the CPU; "onnx-int8" and "openvino-int8" compute those with int8 weights by these
    and others by PyTorch; "auto" is PyTorch, unless the caller measures int8 weights.
    Raises InputError for what this machine does not have; MissingExtraError for CUDA and bfloat16 without PyTorch, and for runtimes.

    >>> choose("cpu", "float32", threads=2)
    Compute(device='cpu', precision='float32', threads=2, runtime='torch')
    """
    if runtime not in ("auto", *RUNTIMES):
        raise InputError(f"runtime {runtime!r} is unknown. Choose auto, {', '.join(RUNTIMES[:-1])} or {RUNTIMES[-1]}.")
    if runtime in (INT8, OPENVINO_INT8):
        if device not in ("auto", "cpu"):
            raise InputError(
                f"runtime {runtime} computes on the CPU, not on {device}. Leave out --device or --runtime."
            )
        if runtime == OPENVINO_INT8:
            check_extra(OPENVINO)
        return _choose_hardware("cpu", precision, threads).by(runtime)
    if runtime != OPENVINO:
        return _choose_hardware(device, precision, threads)
    if device not in ("auto", "cpu") or precision not in ("auto", "float32"):
        raise InputError(
            f"runtime {OPENVINO} computes in float32 on the CPU, not in {precision} on {device}. Leave out --device and --precision, or "
            "--runtime."
        )
    check_extra(OPENVINO)
    return _choose_hardware("cpu", "float32", threads).by(OPENVINO)


def _choose_hardware(device: str, precision: str, threads: int | None) -> Compute:
    """Return device, precision and threads, as `choose` describes them."""
    if precision not in ("auto", *PRECISIONS):
        raise InputError(
            f"precision {precision!r} is unknown. Choose auto, {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}."
        )
    on_cpu = device == "cpu" or (device == "auto" and not _may_have_gpu())
    if on_cpu and (precision in ("auto", "float32") or (precision == "bfloat16" and is_installed("torch"))):
        usual = _fastest_on_cpu() if precision == "auto" else precision
        return Compute("cpu", usual, threads or _usual_threads())  # PyTorch takes two seconds to load
    try:
        import torch
    except ModuleNotFoundError:
        return _choose_without_torch(device, precision, threads)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InputError(f"device {device!r} is unknown. {CHOICES}") from error
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is not supported. {CHOICES}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r} is not available: this machine has no CUDA. Use --device cpu.")
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {device!r} is not available: this machine has {torch.cuda.device_count()} GPUs. {CHOICES}"
        )
    if precision == "auto":
        precision = _fastest_precision(device)
    if precision == "float16" and kind == "cpu":
        raise InputError(NO_FLOAT16)
    return Compute(device, precision, threads or _usual_threads())


def readers_for(device: str, on_cpu: int, on_gpu: int) -> int:
    """Return how many threads prepare tiles: `on_cpu` if the network takes the cores, else one per core, `on_gpu` at most.

    >>> readers_for("cpu", on_cpu=2, on_gpu=16)
    2
    """
    return min(cores(), on_gpu) if device.startswith("cuda") else on_cpu


def check_devices(device: str, count: int) -> None:
    """Refuse more GPUs than there are, and several devices if a single one is named, as in cuda:1.

    >>> check_devices("cpu", 2)
    >>> check_devices("cuda:1", 2)
    Traceback (most recent call last):
    deepnets4eo.errors.InputError: device 'cuda:1' is a single GPU, but there are to be 2. Use --device cuda.
    """
    if count < 1:
        raise InputError(f"{count} devices cannot train. Use --devices 1 or more.")
    if count == 1:
        return
    if ":" in device:
        raise InputError(f"device {device!r} is a single GPU, but there are to be {count}. Use --device cuda.")
    import torch

    on_gpus = choose(device, "float32").device == "cuda"
    if on_gpus and count > torch.cuda.device_count():
        gpus = torch.cuda.device_count()
        raise InputError(f"{count} GPUs are not available: this machine has {gpus}. Use --devices {gpus}.")


def count_devices(device: str) -> int:
    """Return the number of GPUs that `device` ("auto", "cuda") can be; 1 for a single GPU or a CPU.

    >>> count_devices("cpu")
    1
    """
    if choose(device, "float32").device != "cuda":
        return 1
    import torch

    return torch.cuda.device_count()


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Provide a context that keeps freed memory in the process for the next pass, which saves processor time; only with glibc."""
    library = _glibc()
    if library is None:
        yield
        return
    _set_heap(library, *KEPT_HEAP)
    try:
        yield
    finally:
        _set_heap(library, *USUAL_HEAP)
        return_freed_memory()


def share_heaps() -> None:
    """Let threads share one heap per core instead of eight: memory that one thread frees serves the others. Only with glibc."""
    if (library := _glibc()) is not None:
        library.mallopt(M_ARENA_MAX, cores())


def return_freed_memory() -> None:
    """Return free memory to the system, also between what is in use; only with glibc."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    known = library is not None and hasattr(library, "mallopt") and hasattr(library, "malloc_trim")  # not so in musl
    return library if known else None


def _set_heap(library: ctypes.CDLL, largest_bytes: int, kept_bytes: int) -> None:
    """Serve blocks up to a size from the heap, and keep `kept_bytes` free bytes at its end. Both, as setting one fixes the other."""
    library.mallopt(M_MMAP_THRESHOLD, largest_bytes)
    library.mallopt(M_TRIM_THRESHOLD, kept_bytes)


@contextmanager
def cudnn_settings(*, deterministic: bool) -> Iterator[None]:
    """Within the context the convolutions of a GPU are repeatable to the bit, or else the fastest that a trial finds."""
    from torch.backends import cudnn

    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = deterministic, not deterministic
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


def _may_have_gpu() -> bool:
    """Return whether PyTorch may find a GPU: it is loaded already, or a GPU driver is there; on systems other than Linux, always."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    return "torch" in sys.modules or not sys.platform.startswith("linux") or any(map(os.path.exists, drivers))


def _choose_without_torch(device: str, precision: str, threads: int | None) -> Compute:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise InputError(f"device {device!r} is unknown. {CHOICES}")
    if precision == "float16" and not device.startswith("cuda"):
        raise InputError(NO_FLOAT16)
    if device.startswith("cuda") or precision == "bfloat16":
        with name_missing_extra():
            import torch  # noqa: F401
    return Compute("cpu", "float32", threads or _usual_threads())


def _usual_threads() -> int:
    """Return one thread for each core, or fewer if OMP_NUM_THREADS (its first number) is lower: more threads only wait for each other."""
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(cores(), int(limit)) if limit.isdecimal() and int(limit) > 0 else cores()


def _fastest_on_cpu() -> str:
    return fastest_precision() if is_installed("torch") else "float32"


def _fastest_precision(device: str) -> str:
    import torch

    if torch.device(device).type == "cpu":
        return _fastest_on_cpu()
    capability = torch.cuda.get_device_capability(device)
    if capability >= (8, 0):  # Ampere and later; before, bfloat16 is emulated
        return "bfloat16"
    return "float16" if capability >= (7, 0) else "float32"  # Volta and Turing multiply float16 matrices


def bytes_taken(device: str, work: Callable[[], object]) -> int:
    """Return the peak number of bytes that `work` allocates on a GPU on top of earlier allocations, workspaces included."""
    import torch

    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return int(torch.cuda.max_memory_allocated(device)) - before


def memory_bytes(device: str) -> int:
    """All memory of a GPU, whatever is free now: what is chosen by it shall be the same the next time."""
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)
