"""Templates in a file: safetensors, checked on reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepnets4eo.baselines.parts.templates import PARTS, PartModels, Shapes, TemplateBank
from deepnets4eo.errors import RunError
from deepnets4eo.files import atomic_write

BANK = "templates.safetensors"
HOG = 31
ARRAYS = {"things": np.float64, "component": np.int64, "sizes": np.int64, "cell_px": np.int64, "weights": np.float32,
         "bias": np.float32, "slope": np.float32, "offset": np.float32}  # fmt: skip


def save_bank(bank: TemplateBank, path: Path) -> None:
    """Write all arrays of a bank."""
    from safetensors.numpy import save_file

    shapes = bank.shapes
    arrays = {
        "things": shapes.things, "component": shapes.component, "sizes": shapes.sizes,
        "cell_px": np.array([shapes.cell_px]), "weights": bank.weights, "bias": bank.bias, "slope": bank.slope,
        "offset": bank.offset,
    }  # fmt: skip
    if bank.parts is not None:
        arrays |= {f"parts.{name}": getattr(bank.parts, name) for name in PARTS}
    with atomic_write(path) as partial:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial)


def load_bank(path: Path) -> TemplateBank:
    """Read a bank. Errors: RunError for a file that is damaged or has no templates."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read: {error}. Copy the run again.") from error
    missing = sorted(set(ARRAYS) - set(arrays))
    if missing:
        raise RunError(f"{path} has no templates: {', '.join(missing)} are missing. Copy the run again.")
    wrong = sorted(name for name, dtype in ARRAYS.items() if arrays[name].dtype != dtype)
    shapes = Shapes(arrays["things"], arrays["component"], arrays["sizes"], int(arrays["cell_px"][0]))
    count = len(shapes)
    fits = not wrong and shapes.things.shape == (count, 3) and shapes.sizes.shape == (count, 2) and count > 0
    fits = fits and all(len(arrays[name]) == count for name in ("component", "weights", "bias", "slope", "offset"))
    if not fits or arrays["weights"].shape != (count, HOG, *shapes.frame):
        raise RunError(f"{path} has templates that do not fit one another {wrong or ''}. Copy the run again.")
    parts = None
    if all(f"parts.{name}" in arrays for name in PARTS):
        parts = PartModels(**{name: arrays[f"parts.{name}"] for name in PARTS})
    weights, bias, slope, offset = (arrays[name] for name in ("weights", "bias", "slope", "offset"))
    return TemplateBank(shapes, weights, bias, slope, offset, parts)
