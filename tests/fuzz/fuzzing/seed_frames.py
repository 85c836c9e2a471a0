"""Sound frames of colour and depth as seeds, in the layouts of 7-Scenes, SUN RGB-D, organised clouds and NYUv2."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from fuzzing.seed import Seed, make_folder

ROWS, COLS, OBJECTS = 32, 48, 894
FOCAL_PX = 40.0


def make_frames(root: Path) -> dict[str, list[Seed]]:
    """One frame of a slanted plane in each layout, in a folder of its name; the kinds are `frames-` and that name."""
    rng = np.random.default_rng(5)
    colour = rng.integers(0, 256, (ROWS, COLS, 3), dtype=np.uint8)
    depth_mm = (1500 + 10 * np.arange(ROWS)[:, None] + 5 * np.arange(COLS)).astype(np.uint16)
    labels = (np.arange(ROWS)[:, None] // 8 + np.arange(COLS) // 12).astype(np.uint8) % 5 + 1
    folder = root / "frames"
    _write_posed(make_folder(folder / "posed" / "posed"), colour, depth_mm, labels)
    _write_sun(make_folder(folder / "sun-rgbd" / "sun-rgbd"), colour, depth_mm, labels)
    _write_organised(make_folder(folder / "organised" / "organised"), colour, depth_mm, labels)
    _write_nyu(make_folder(folder / "nyuv2" / "nyuv2"), colour, depth_mm, labels)
    return {
        f"frames-{layout}": [Seed(folder / layout, layout)] for layout in ("posed", "sun-rgbd", "organised", "nyuv2")
    }


def _intrinsics() -> np.ndarray:
    return np.array([[FOCAL_PX, 0, COLS / 2], [0, FOCAL_PX, ROWS / 2], [0, 0, 1]])


def _write_posed(folder: Path, colour: np.ndarray, depth_mm: np.ndarray, labels: np.ndarray) -> None:
    Image.fromarray(colour).save(folder / "a.color.png")
    Image.fromarray(depth_mm).save(folder / "a.depth.png")
    Image.fromarray(labels).save(folder / "a.labels.png")
    np.savetxt(folder / "a.pose.txt", np.eye(4))
    np.savetxt(folder / "camera-intrinsics.txt", _intrinsics())


def _write_sun(folder: Path, colour: np.ndarray, depth_mm: np.ndarray, labels: np.ndarray) -> None:
    for name in ("image", "depth_bfx"):
        (folder / name).mkdir()
    Image.fromarray(colour).save(folder / "image" / "0001.png")
    Image.fromarray((depth_mm << 3) | (depth_mm >> 13)).save(folder / "depth_bfx" / "0001.png")
    Image.fromarray(labels).save(folder / "labels37.png")
    np.savetxt(folder / "intrinsics.txt", _intrinsics())


def _write_organised(folder: Path, colour: np.ndarray, depth_mm: np.ndarray, labels: np.ndarray) -> None:
    z = depth_mm / 1000
    x = (np.arange(COLS) - COLS / 2) / FOCAL_PX * z
    y = (np.arange(ROWS)[:, None] - ROWS / 2) / FOCAL_PX * z
    np.savez(folder / "a.npz", rgb=colour, x=x, y=y, z=z, label=labels)


def _write_nyu(folder: Path, colour: np.ndarray, depth_mm: np.ndarray, labels: np.ndarray) -> None:
    """Arrays as h5py sees those of MATLAB: frames first, then columns, then rows."""
    arrays = {
        "images": colour.transpose(2, 1, 0)[None],
        "depths": (depth_mm / 1000).astype(np.float32).T[None],
        "labels": labels.astype(np.uint16).T[None],
    }
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        for name, values in arrays.items():
            file[name] = values
            file[name].attrs["MATLAB_class"] = np.bytes_(str(values.dtype).encode())
    classes = (np.arange(OBJECTS) % 40 + 1).astype(np.float64)[None]
    savemat(folder / "classMapping40.mat", {"mapClass": classes})
    savemat(folder / "splits.mat", {"trainNdxs": np.array([[1.0]]), "testNdxs": np.array([[1.0]])})
