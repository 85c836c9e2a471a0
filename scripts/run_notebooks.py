"""Runs the tutorials as notebooks, one after the other, within a limit of time; stops at the first cell that fails.

Usage: python scripts/run_notebooks.py [NOTEBOOK.py ...]                        all of docs/tutorials where none is named
       python scripts/run_notebooks.py --samples FOLDER [NOTEBOOK.ipynb ...]    docs/gallery anew, with its outputs and pictures

The notebooks of the gallery read real samples below FOLDER, which they find in the variable SAMPLES. Their pictures become small JPEGs,
and the last one of each is written to docs/images/gallery.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import resource
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

DOCS = Path(__file__).resolve().parents[1] / "docs"
LIMIT_S = 180.0
GALLERY_LIMIT_S = 1200
WIDTH_PX, QUALITY = 1000, 80


def run(paths: list[Path], limit_s: float = LIMIT_S) -> None:
    """Execute notebooks in their folder; raises the error of a cell, and TimeoutError where all take too long."""
    start = time.monotonic()
    for path in paths:
        before, spent = time.monotonic(), _processor_s()
        # one cell alone cannot wait beyond what is left of the limit
        left = max(1, int(limit_s - (before - start)))
        NotebookClient(jupytext.read(path), timeout=left, resources={"metadata": {"path": str(path.parent)}}).execute()
        spent = _processor_s() - spent
        print(f"{path.name}: {time.monotonic() - before:.0f} s, {spent:.0f} s of processor time", flush=True)
    if time.monotonic() - start > limit_s:
        raise TimeoutError(f"The notebooks took {time.monotonic() - start:.0f} s, more than {limit_s:.0f} s.")


def _processor_s() -> float:
    """Seconds that the processes which have ended took."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def renew(path: Path, samples: Path) -> None:
    """Execute one notebook of the gallery on the samples and keep it with its outputs; log lines are left out."""
    os.environ["SAMPLES"] = str(samples.resolve())
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=GALLERY_LIMIT_S, resources={"metadata": {"path": str(path.parent)}}).execute()
    picture = b""
    for cell in notebook.cells:
        cell.metadata = {}
        outputs = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
        for output in outputs:
            output.get("metadata", {}).clear()
            if "image/png" in (data := output.get("data", {})):
                picture = small_jpeg(base64.b64decode(data.pop("image/png")))
                data["image/jpeg"] = base64.b64encode(picture).decode()
        if cell.cell_type == "code":
            cell.outputs = outputs
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(notebook, path)
    figure = DOCS / "images" / "gallery" / f"{path.stem}.jpg"
    figure.parent.mkdir(exist_ok=True)
    figure.write_bytes(picture)


def small_jpeg(png: bytes) -> bytes:
    """A picture of at most WIDTH_PX pixels a line as JPEG."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((WIDTH_PX, 10 * WIDTH_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", type=Path, nargs="*")
    parser.add_argument("--samples", type=Path)
    args = parser.parse_args()
    if args.samples is None:
        run(args.notebooks or sorted((DOCS / "tutorials").glob("*.py")))
    for path in (args.notebooks or sorted((DOCS / "gallery").glob("*.ipynb"))) if args.samples else []:
        renew(path, args.samples)
        print(path.name, flush=True)


if __name__ == "__main__":
    main()
