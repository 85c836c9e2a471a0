"""Where and how precisely networks are computed: the one place that decides.

Takes "auto" or names given by the user; refuses devices and precisions that are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deepnets4eo.errors import InputError
from deepnets4eo.rasters.prefetch import cores

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Compute:
    """A device, a precision and a number of CPU threads; the same values give the same bits."""

    device: str = "cpu"
    precision: str = "float32"
    threads: int = 1

    def to_dict(self) -> dict[str, str | int]:
        """Plain values for ledgers and manifests."""
        return {"device": self.device, "precision": self.precision, "threads": self.threads}


def choose(device: str = "auto", precision: str = "auto", threads: int | None = None) -> Compute:
    """Settle on a device, a precision and a thread count.

    device : "auto" (CUDA when there), "cpu", "cuda", "cuda:1". precision : "auto" (bfloat16 where the hardware has
    matrix units for it, else float32), "float32", "bfloat16". threads : of the network on CPU; the default is all cores.
    Errors: InputError for what this machine does not have.
    """
    import torch

    if precision not in ("auto", *PRECISIONS):
        raise InputError(f"precision {precision!r} is unknown. Choose auto, {' or '.join(PRECISIONS)}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise InputError(f"device {device!r} is unknown. Choose auto, cpu, cuda or cuda:N.") from error
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device {device!r} is not supported. Choose auto, cpu, cuda or cuda:N.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {device!r} asks for CUDA, which this machine does not offer. Use --device cpu.")
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16_units(kind) else "float32"
    return Compute(device, precision, threads or cores())


def cpu_has_bfloat16_units() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware (AVX512-BF16 or AMX); emulation does not count."""
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", None)  # new in torch 2.10
    if capabilities is not None:
        found = capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and any(flag in cpuinfo.read_text(encoding="utf-8") for flag in ("avx512_bf16", "amx_bf16"))


def _has_bfloat16_units(kind: str) -> bool:
    import torch

    if kind == "cuda":
        return torch.cuda.get_device_capability()[0] >= 8  # Ampere and later; before, bfloat16 is emulated
    return cpu_has_bfloat16_units()
