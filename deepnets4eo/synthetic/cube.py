"""A hyperspectral cube of the city, several times coarser than the image, and the materials that mix in its pixels.

Memory: about 8 bytes a band and coarse pixel, and some 40 a fine pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from scipy import ndimage

from deepnets4eo.arrays import FloatImage
from deepnets4eo.cards import Legend, LegendClass
from deepnets4eo.errors import InputError
from deepnets4eo.files import check_overwrite
from deepnets4eo.grid import Grid
from deepnets4eo.jobs import output_lock
from deepnets4eo.synthetic.materials import CODE, NAMES, curve, spectra
from deepnets4eo.synthetic.sensor import Acquisition, view
from deepnets4eo.synthetic.style import mean_roof
from deepnets4eo.synthetic.write import write_raster

# reflectance of roof coverings at 1650 and 2200 nm; below 900 nm it follows from their colours
COVERINGS = {
    "shingle": (0.20, 0.19), "tile": (0.44, 0.40), "metal": (0.48, 0.46), "membrane": (0.52, 0.36), "bitumen": (0.13, 0.12)
}  # fmt: skip
CUBE_MATERIALS = (*NAMES, *COVERINGS)
Features = tuple[tuple[float, float, float], ...]  # centre and width in nm, depth 0–1
_PLANT: Features = ((675, 18, 0.35), (970, 30, 0.08), (1190, 40, 0.10))
_WOOD: Features = ((1730, 30, 0.06), (2100, 60, 0.14), (2280, 40, 0.10))
_CLAY: Features = ((870, 80, 0.06), (1410, 30, 0.08), (1915, 35, 0.12), (2205, 25, 0.14))
_OIL: Features = ((1720, 20, 0.06), (2310, 30, 0.12))
_LIME: Features = ((1915, 40, 0.08), (2340, 30, 0.16))
_PLASTIC: Features = ((1190, 15, 0.06), (1730, 20, 0.24), (2310, 30, 0.26))
ABSORPTION: dict[str, Features] = {
    "grass": _PLANT, "foliage": _PLANT, "shrub": _PLANT,
    "dry_grass": _WOOD, "branches": _WOOD, "wood": _WOOD,
    "soil": _CLAY, "mud": _CLAY,
    "asphalt": _OIL, "old_asphalt": _OIL, "bitumen": _OIL, "shingle": _OIL,
    "concrete": _LIME, "gravel": _LIME, "paint": _LIME,
    "tarp": _PLASTIC, "boat": _PLASTIC, "membrane": _PLASTIC,
    "tile": ((530, 60, 0.22), (870, 90, 0.16), (2205, 25, 0.05)),
    "metal": ((840, 60, 0.10),),
    "rubble": ((870, 90, 0.08), (1915, 40, 0.09), (2100, 60, 0.06), (2205, 25, 0.07), (2340, 30, 0.09)),
}  # fmt: skip
WATER_VAPOUR: Features = (
    (720, 10, 0.15), (820, 12, 0.20), (940, 25, 0.65), (1135, 30, 0.70), (1380, 50, 0.995), (1880, 60, 0.995)
)  # fmt: skip
SUN_K = 5800.0

RANGE_NM = (400.0, 2500.0)
SCALE = 10_000  # stored number of reflectance 1
NOISE = 0.003  # reflectance, at full light
MAX_NOISE = 0.3  # where water vapour leaves hardly any light
SPREAD_PX = 0.4  # standard deviation of the optics' blur, coarse pixels
SKY_SLOPE = 1.5  # skylight fades with this power of the wavelength


@dataclass(frozen=True)
class MadeUpCube:
    """A synthetic hyperspectral cube and its ground truth.

    Parameters
    ----------
    grid : `factor` times coarser than the image
    wavelengths_nm : (B,) centres of the bands, nanometres
    data : (B, h, w) uint16: reflectance under the image's light and shadow, times 10,000
    shares : (M, h, w) float32: share of each material of `CUBE_MATERIALS` in a pixel, 0–1
    tags : mark every file as synthetic

    Examples
    --------
    >>> from deepnets4eo.synthetic import City
    >>> cube = City(seed=1, size_px=64).cube(bands=20)
    >>> cube.data.shape, cube.labels.shape, round(float(cube.wavelengths_nm[-1]))
    ((20, 16, 16), (16, 16), 2500)
    """

    grid: Grid
    wavelengths_nm: np.ndarray
    data: np.ndarray
    shares: FloatImage
    tags: dict[str, str]

    @property
    def labels(self) -> np.ndarray:
        """Return (h, w) uint8: the material with the largest share, values of the legend `material_legend()`."""
        return self.shares.argmax(axis=0).astype(np.uint8)

    def write(self, folder: str | Path, name: str = "post", *, overwrite: bool = False) -> Path:
        """Write cube_NAME.tif and materials_NAME.tif into a folder, which may be a city's folder, and return it.

        Bands are called by their wavelength, as "450.0 nm". Raises OutputError if the files exist.
        """
        folder = Path(folder)
        cube, materials = folder / f"cube_{name}.tif", folder / f"materials_{name}.tif"
        with output_lock(folder):
            for path in (cube, materials):
                check_overwrite(path, overwrite=overwrite)
            folder.mkdir(parents=True, exist_ok=True)
            write_raster(cube, self.grid, self.data, self.tags, wavelengths_nm=self.wavelengths_nm.tolist())
            write_raster(materials, self.grid, self.labels, self.tags, material_legend())
        return folder


def acquire_cube(
    acquisition: Acquisition, coverings: Sequence[str], tags: dict[str, str], *, bands: int, factor: int
) -> MadeUpCube:
    """Observe the surface of a date with an imaging spectrometer of 400–2500 nm, `factor` fine pixels a coarse one."""
    height, width = (side // factor if factor >= 1 else 0 for side in acquisition.shape)
    if bands < 4 or min(height, width) < 1:
        raise InputError(
            f"bands={bands} and factor={factor} of {acquisition.shape} pixels; expected at least 4 bands and one coarse "
            "pixel. Give more bands, or a smaller factor."
        )
    nm = np.linspace(*RANGE_NM, bands)
    codes, light = _materials_and_light(acquisition, coverings)
    lit, shares = (np.zeros((len(CUBE_MATERIALS), height, width), np.float32) for _ in range(2))
    for code in np.unique(codes):
        own = codes == code
        shares[code], lit[code] = (_coarse(weight, factor) for weight in (own.astype(np.float32), own * light))
    seen = np.tensordot(cube_spectra(nm).T, lit, axes=1)
    shade = np.clip(1 - _coarse(light, factor), 0, 1)
    seen *= 1 - shade * (1 - np.minimum((550 / nm) ** SKY_SLOPE, 1.5)[:, None, None]).astype(np.float32) * 0.5
    noise = np.minimum(NOISE / np.maximum(light_left(nm), 1e-6), MAX_NOISE).astype(np.float32)
    rng = np.random.default_rng([acquisition.seed, 51])
    seen += noise[:, None, None] * rng.standard_normal(seen.shape, np.float32)
    data = np.clip(np.rint(seen * SCALE), 0, 65_535).astype(np.uint16)
    grid = Grid((height, width), acquisition.grid.affine * Affine.scale(factor), acquisition.grid.crs)
    return MadeUpCube(grid, nm, data, shares, tags)


def _materials_and_light(acquisition: Acquisition, coverings: Sequence[str]) -> tuple[np.ndarray, FloatImage]:
    """Code of `CUBE_MATERIALS`, and light about 1 with the surface's texture, of every fine pixel."""
    plain = acquisition.spectra(np.array([450.0, 550.0, 650.0, 830.0]))
    codes, building = plain.material, acquisition.building_ids()
    roof_codes = [CUBE_MATERIALS.index(covering) for covering in coverings]
    lookup = np.array([CODE["roof"], *roof_codes], np.uint8)
    roof = (codes == CODE["roof"]) & (building > 0) & (building < len(lookup))
    codes = np.where(roof, lookup[np.where(roof, building, 0)], codes)
    albedo = sum(
        view(band, acquisition.matrix, acquisition.shape, 0).astype(np.float32) for band in acquisition.surface.albedo
    )
    levels = np.sqrt(cube_spectra(np.array([450.0, 550.0, 650.0, 830.0]))).sum(axis=1) * 255
    crown = np.isin(codes, [CODE["foliage"], CODE["branches"]])  # the albedo is that below
    texture = np.where(crown, 1, np.clip(albedo / levels[codes], 0.6, 1.5))
    light = plain.brightness * plain.brightness * texture * texture
    return codes, light.astype(np.float32)


def _coarse(plane: FloatImage, factor: int) -> FloatImage:
    """Means over squares of a (H, W) plane, blurred by the optics."""
    height, width = (side // factor for side in plane.shape)
    cut = plane[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return ndimage.gaussian_filter(cut.mean(axis=(1, 3)), SPREAD_PX, mode="nearest")


def cube_spectra(wavelengths_nm: np.ndarray) -> FloatImage:
    """Reflectance of each material at (B,) wavelengths, 350–2500 nm: (M, B) float32, in the order of `CUBE_MATERIALS`."""
    roofs = []
    for covering, swir in COVERINGS.items():
        roofs.append(curve(tuple((mean_roof(covering) / 255) ** 2), swir, wavelengths_nm, plant=False))
    table = np.concatenate([spectra(wavelengths_nm), np.stack(roofs)])
    for row, name in zip(table, CUBE_MATERIALS, strict=True):
        row *= _pass(ABSORPTION.get(name, ()), wavelengths_nm)
    return table


def light_left(wavelengths_nm: np.ndarray) -> np.ndarray:
    """Sunlight at the sensor relative to that at 550 nm, (B,): a black body's, less what water vapour takes."""

    def black_body(nm: np.ndarray) -> np.ndarray:
        return np.asarray(nm**-5.0 / np.expm1(1.4388e7 / (nm * SUN_K)))

    nm = np.asarray(wavelengths_nm, float)
    return black_body(nm) / black_body(np.array(550.0)) * _pass(WATER_VAPOUR, nm)


def material_legend() -> Legend:
    """Return the materials as a legend: value k is `CUBE_MATERIALS[k]`."""
    hues = [(number * 0.618) % 1 for number in range(len(CUBE_MATERIALS))]
    classes = [LegendClass(value, name, _colour(hues[value], value)) for value, name in enumerate(CUBE_MATERIALS)]
    return Legend("minicity-materials", tuple(classes), title="Materials of the miniature city (synthetic)")


def _colour(hue: float, value: int) -> tuple[int, int, int]:
    import colorsys

    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, 0.95 - 0.25 * (value % 3)))
    return red, green, blue


def _pass(features: Features, wavelengths_nm: np.ndarray) -> np.ndarray:
    """Share of light that absorption features leave, (B,)."""
    share = np.ones(len(wavelengths_nm))
    for centre, width, depth in features:
        share *= 1 - depth * np.exp(-0.5 * ((wavelengths_nm - centre) / width) ** 2)
    return share
