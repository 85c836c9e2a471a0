"""A room in RGB-D: a wall at 3 m, a box at 2 m before it, pixels without depth; colours, codes and files of it."""

import numpy as np

from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.points.rgbd import Frame

WALL, BOX = 1, 2
LEGEND = Legend(
    "room", (LegendClass(WALL, "wall", (200, 200, 200)), LegendClass(BOX, "box", (200, 0, 0))), void_values=(0,)
)
COLOURS = np.array([[0, 0, 0], [60, 90, 120], [220, 40, 30]], np.uint8)
SHAPE = (64, 96)
INTRINSICS = (80.0, 82.0, 47.5, 31.5)


def make_frame(name="room", shift_px=0, seed=0):
    """Depth with a band that nothing is known of; labels everywhere but for two rows."""
    rng = np.random.default_rng(seed)
    codes = np.full(SHAPE, WALL, np.uint8)
    codes[20:45, 30 + shift_px : 60 + shift_px] = BOX
    depth_m = np.where(codes == BOX, 2, 3).astype(np.float32)
    depth_m[:, 80:84] = 0
    colour = np.moveaxis(COLOURS[codes], -1, 0) + rng.integers(0, 8, (3, *SHAPE), np.uint8)
    codes[:2] = 0
    return Frame(name, colour, depth_m, INTRINSICS, labels=codes)


def write_organised(frame, path):
    """The frame as an .npz file of rgb, x, y, z and label."""
    rows, columns = np.indices(frame.shape)
    fx, fy, cx, cy = frame.intrinsics
    z = np.where(frame.known, frame.depth_m, np.nan)
    np.savez(
        path,
        rgb=np.moveaxis(frame.colour, 0, -1),
        x=(columns - cx) / fx * z,
        y=(rows - cy) / fy * z,
        z=z,
        label=frame.labels,
    )
    return path


def write_png(values, path):
    """An image of 8 or 16 bits, (h, w) or (3, h, w)."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(np.moveaxis(values, 0, -1) if values.ndim == 3 else values)).save(path)
    return path


def write_intrinsics(path):
    """The camera's 3 x 3 matrix as text."""
    fx, fy, cx, cy = INTRINSICS
    path.write_text(f"{fx} 0 {cx}\n0 {fy} {cy}\n0 0 1\n", encoding="utf-8")
    return path
