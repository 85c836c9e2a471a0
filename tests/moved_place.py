"""A made-up view from above and the same place seen later, turned or shifted by a known motion."""

import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

from deepnets4eo.rasters import Layer

UTM = "EPSG:32615"
ORIGIN = (500_000.0, 4_100_000.0)


def place(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Fields, roads and houses, (h, w) float32, 0–255."""
    rng = np.random.default_rng(seed)
    side = max(shape)
    image = 90 + 30 * ndimage.zoom(rng.standard_normal((side // 32 + 2, side // 32 + 2)), 32, order=1)[:side, :side]
    for start in rng.integers(0, side, side // 90):
        image[:, start : start + 12] = 130
        image[side - start - 12 : side - start, :] = 120
    for _ in range(side * side // 2000):
        row, col = rng.integers(0, side - 40, 2)
        height, width = rng.integers(12, 34, 2)
        image[row : row + height, col : col + width] = rng.uniform(30, 225)
    return ndimage.gaussian_filter(image, 0.7)[: shape[0], : shape[1]].astype(np.float32)


def moved(image: np.ndarray, motion: Affine) -> np.ndarray:
    """The image such that what was at (x, y) pixels lies at motion · (x, y); x right, y down, from the outer corner."""
    back = ~motion
    matrix = np.array([[back.e, back.d], [back.b, back.a]])
    offset = matrix @ (0.5, 0.5) + (back.f, back.c) - 0.5
    return ndimage.affine_transform(image, matrix, offset, order=3, mode="reflect").astype(np.float32)


def noisy(image: np.ndarray, seed: int = 1) -> np.ndarray:
    """Another look at the same place."""
    return (image + 6 * np.random.default_rng(seed).standard_normal(image.shape)).astype(np.float32)


def as_layer(image: np.ndarray, *, gsd_m: float = 0.5, crs: str | None = UTM) -> Layer:
    """The image as a layer: north up in UTM, or plain pixels."""
    data = np.clip(image, 0, 255).astype(np.uint8)
    affine = Affine(gsd_m, 0, ORIGIN[0], 0, -gsd_m, ORIGIN[1]) if crs else Affine.identity()
    return Layer.open(data, grid=GeoBox(data.shape[-2:], affine, crs))


def houses(seed: int, count: int, side_m: float) -> np.ndarray:
    """Boxes on a jittered lattice of `side_m` metres a side, in UTM, clear of each other."""
    rng = np.random.default_rng(seed)
    per_side = int(np.ceil(np.sqrt(count)))
    step = side_m / (per_side + 1)
    boxes = []
    for index in range(count):
        row, col = divmod(index, per_side)
        x, y = (col + 1) * step + rng.uniform(-2, 2), (row + 1) * step + rng.uniform(-2, 2)
        width, height = rng.uniform(7, 13, 2)
        box = shapely.box(-width / 2, -height / 2, width / 2, height / 2)
        turned = shapely.affinity.rotate(box, rng.uniform(0, 90))
        boxes.append(shapely.affinity.translate(turned, ORIGIN[0] + x, ORIGIN[1] - y))
    return np.array(boxes, object)


def roofs(outlines: np.ndarray, shape: tuple[int, int], *, gsd_m: float = 0.5, seed: int = 0) -> np.ndarray:
    """An image on which the outlines are roofs of differing brightness, (h, w) float32."""
    from rasterio.features import rasterize

    rng = np.random.default_rng(seed)
    image = 100 + 5 * ndimage.gaussian_filter(rng.standard_normal((shape[0] * 4, shape[1] * 4)), 6) * 20
    affine = Affine(gsd_m / 4, 0, ORIGIN[0], 0, -gsd_m / 4, ORIGIN[1])
    values = rng.choice([40.0, 170.0, 210.0], len(outlines))
    burnt = rasterize(zip(outlines, values, strict=True), image.shape, fill=0, transform=affine, dtype="float32")
    fine = np.where(burnt > 0, burnt, image)
    coarse = fine.reshape(shape[0], 4, shape[1], 4).mean(axis=(1, 3))
    return noisy(coarse.astype(np.float32), seed + 1)
