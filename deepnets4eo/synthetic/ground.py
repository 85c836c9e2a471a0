"""Paints the ground: lawns, fields, soil, streets with markings, pavements, car parks, ponds and the river."""

from __future__ import annotations

import numpy as np

from deepnets4eo.synthetic.materials import CODE, NAMES, poles
from deepnets4eo.synthetic.plan import ARTERIAL_M, KINDS, CityPlan, Row, Streets
from deepnets4eo.synthetic.style import Season
from deepnets4eo.synthetic.surface import BAND_ROWS, CitySurface, Rectangles, Textures

Pond = tuple[float, float, float, float, float, str]
STEP_M = 0.25  # resolution of the look-up from a street coordinate to its nearest line


def terrain(rng: np.random.Generator, shape: tuple[int, int], gsd_m: float) -> np.ndarray:
    """Gently rolling ground: a tilted plane and a few long waves, (H, W) float32 metres."""
    y = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(gsd_m)
    x = np.arange(shape[1], dtype=np.float32)[None] * np.float32(gsd_m)
    tilt = rng.normal(0, 0.006, 2)
    ground = np.float32(rng.uniform(20, 300)) + np.float32(tilt[0]) * x + np.float32(tilt[1]) * y
    for _ in range(4):
        length, heading, phase = rng.uniform(180, 700), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
        wave_x = np.exp(1j * (x * 2 * np.pi / length * np.cos(heading) + phase)).astype(np.complex64)
        wave_y = np.exp(1j * (y * 2 * np.pi / length * np.sin(heading))).astype(np.complex64)
        ground += np.float32(length * 0.0025) * (wave_x.real * wave_y.real - wave_x.imag * wave_y.imag)
    return ground.astype(np.float32)


class _Lookup:
    """Nearest street line and cell of every coordinate along one axis, by table."""

    def __init__(self, lines: np.ndarray) -> None:
        self.start = lines[0] - 200
        coordinates = np.arange(self.start, lines[-1] + 200, STEP_M)
        middles = (lines[1:] + lines[:-1]) / 2
        self.nearest = np.searchsorted(middles, coordinates).astype(np.int16)
        self.cell = np.clip(np.searchsorted(lines, coordinates) - 1, 0, len(lines) - 2).astype(np.int16)

    def __call__(self, coordinate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (nearest line, cell) of each coordinate."""
        index = ((coordinate - np.float32(self.start)) / np.float32(STEP_M)).astype(np.int32)
        np.clip(index, 0, len(self.nearest) - 1, out=index)
        return self.nearest[index], self.cell[index]


class GroundPainter:
    """Computes the ground material and lawn tone of each pixel of a band."""

    def __init__(self, plan: CityPlan, gsd_m: float, key: int) -> None:
        self.plan, self.streets, self.gsd_m = plan, plan.streets, gsd_m
        self.along_u, self.along_v = _Lookup(self.streets.u), _Lookup(self.streets.v)
        self.tones = np.random.default_rng([key, 5]).normal(0, 0.17, 4096).astype(np.float32)
        base = dict.fromkeys(KINDS, "grass") | {"site": "soil", "field": "dry_grass"}
        self.bareness = float(np.random.default_rng([key, 6]).uniform(1.2, 2.6))
        self.gardens = np.array([1.0 if kind == "residential" else 0.15 for kind in KINDS], np.float32)
        self.base = np.array([CODE[base[kind]] for kind in KINDS], np.uint8)

    def materials(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Material codes and tone offsets over rows y (h, 1) and columns x (1, w), local metres."""
        streets = self.streets
        u, v = streets.to_uv(x, y)
        line_u, cell_u = self.along_u(u)
        line_v, cell_v = self.along_v(v)
        kind = streets.kind[cell_u, cell_v]
        material = self.base[kind]
        tone = self._lot_tone(u, v, cell_u, cell_v)
        self._river(material, kind, u, v, cell_u)
        for line, cells, across, along, family in ((line_v, cell_u, v, u, "v"), (line_u, None, u, v, "u")):
            self._street(material, line, cells, across, along, family)
        if np.isfinite(streets.diagonal[2]):
            normal_u, normal_v, offset = streets.diagonal
            distance = np.abs(normal_u * u + normal_v * v - offset)
            material[distance < 4.5] = CODE["old_asphalt"]
        return material, tone

    def _lot_tone(self, u: np.ndarray, v: np.ndarray, cell_u: np.ndarray, cell_v: np.ndarray) -> np.ndarray:
        """Random offset of the lawn colour by lot."""
        streets = self.streets
        middle = ((streets.u[1:] + streets.u[:-1]) / 2).astype(np.float32)[cell_u]
        lot = ((v - streets.v.astype(np.float32)[cell_v]) / streets.lot.astype(np.float32)[cell_u, cell_v]).astype(
            np.int32
        )
        code = cell_u.astype(np.int32) * 7919 + cell_v.astype(np.int32) * 104729 + lot * 1299709 + (u > middle) * 611953
        kept = self.gardens[streets.kind[cell_u, cell_v]]
        return self.tones[code & 4095] * kept

    def _river(self, material: np.ndarray, kind: np.ndarray, u: np.ndarray, v: np.ndarray, cell_u: np.ndarray) -> None:
        """Draw a winding water course down the middle of the riverside blocks."""
        river = kind == KINDS.index("river")
        if not river.any():
            return
        middle = ((self.streets.u[1:] + self.streets.u[:-1]) / 2).astype(np.float32)[cell_u]
        off = np.abs(u - middle - 5 * np.sin(v / 41) - 3 * np.sin(v / 17))
        width = 9 + 4 * np.sin(v / 60)
        material[river & (off < width + 2.5)] = CODE["soil"]
        material[river & (off < width)] = CODE["water"]

    def _street(
        self,
        material: np.ndarray,
        line: np.ndarray,
        cells: np.ndarray | None,
        across: np.ndarray,
        along: np.ndarray,
        family: str,
    ) -> None:
        """Pavement, carriageway and markings of the nearest street of one family."""
        streets: Streets = self.streets
        lines, widths, paving = (
            (streets.u, streets.u_width, streets.u_paving)
            if family == "u"
            else (streets.v, streets.v_width, streets.v_paving)
        )
        distance = across - lines.astype(np.float32)[line]
        away, half = np.abs(distance), (widths / 2).astype(np.float32)[line]
        near = away < half + 3
        if cells is not None:
            near &= streets.open_v[cells, line]
        walk = near & (away > half + 1.0) & (away < half + 2.3) & (line % 3 != 0)
        material[walk] = CODE["concrete"]
        road = near & (away < half)
        material[road] = np.where(paving, CODE["asphalt"], CODE["old_asphalt"]).astype(np.uint8)[line[road]]
        wide = road & (widths >= ARTERIAL_M)[line]
        if wide.any():
            centre = wide & (away > 0.12) & (away < 0.3)
            dashes = wide & (np.abs(away - 3.5) < 0.1) & (np.mod(along, 9) < 3)
            material[centre | dashes | (wide & (np.abs(away - half + 0.35) < 0.08))] = CODE["paint"]


def ground_materials(
    shape: tuple[int, int], gsd_m: float, plan: CityPlan, textures: Textures, key: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ground material (H, W) uint8 before ponds and paving, and the lawn tone in hundredths (H, W) int8."""
    painter = GroundPainter(plan, gsd_m, key)
    height, width = shape
    x = ((np.arange(width, dtype=np.float32) + np.float32(0.5)) * np.float32(gsd_m))[None]
    materials, tone = np.empty(shape, np.uint8), np.empty(shape, np.int8)
    for top in range(0, height, BAND_ROWS):
        bottom = min(top + BAND_ROWS, height)
        y = ((np.arange(top, bottom, dtype=np.float32) + np.float32(0.5)) * np.float32(gsd_m))[:, None]
        material, lots = painter.materials(y, x)
        bare = textures.window("broad", top, bottom - top, width)
        bare = bare + np.float32(0.5) * textures.window("middle", top, bottom - top, width)
        bare += np.float32(0.3) * textures.window("fine", top, bottom - top, width)
        material[(material == CODE["grass"]) & (bare + lots * 1.5 > painter.bareness)] = CODE["soil"]
        materials[top:bottom] = material
        tone[top:bottom] = np.clip(lots * 100, -120, 120).astype(np.int8)
    return materials, tone


def paint_ground(surface: CitySurface, plan: CityPlan, textures: Textures, pools: list[Pond]) -> None:
    """Put ponds, `pools` and paving on the ground materials."""
    for x0, y0, radius_x, radius_y, angle, name in [*plan.ponds, *pools]:
        _ellipse(surface, (x0, y0, radius_x, radius_y, angle), CODE[name], textures)
    rows = [(row, name) for row, name in plan.paving]
    if rows:
        flat, owner = surface.pixels(Rectangles.of([row for row, _ in rows]))
        surface.material.reshape(-1)[flat] = np.array([CODE[name] for _, name in rows], np.uint8)[owner]


def break_ground(surface: CitySurface, rows: list[Row]) -> None:
    """Lay open the soil of building plots, sparing carriageways and water."""
    if not rows:
        return
    flat, _ = surface.pixels(Rectangles.of(rows))
    material = surface.material.reshape(-1)
    kept = np.isin(material[flat], [CODE[name] for name in ("asphalt", "old_asphalt", "paint", "water")])
    material[flat[~kept]] = CODE["soil"]


def _ellipse(
    surface: CitySurface, shape: tuple[float, float, float, float, float], code: int, textures: Textures
) -> None:
    """Paint one pond or pool; natural water has an uneven bank."""
    x0, y0, radius_x, radius_y, angle = shape
    gsd, reach = surface.gsd_m, max(radius_x, radius_y) * 1.4
    top, left = max(int((y0 - reach) / gsd), 0), max(int((x0 - reach) / gsd), 0)
    bottom, right = min(int((y0 + reach) / gsd), surface.shape[0]), min(int((x0 + reach) / gsd), surface.shape[1])
    if bottom <= top or right <= left:
        return
    y = (np.arange(top, bottom) + 0.5)[:, None] * gsd - y0
    x = (np.arange(left, right) + 0.5)[None] * gsd - x0
    a, b = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    rough = 0.12 if NAMES[code] == "water" else 0.0
    edge = np.hypot(a / radius_x, b / radius_y) + rough * textures.window(
        "middle", top, bottom - top, right - left, left
    )
    window = surface.material[top:bottom, left:right]
    if not rough:
        window[edge < 1.25] = CODE["concrete"]
    window[edge < 1] = code


def colour_ground(surface: CitySurface, textures: Textures, tone: np.ndarray, season: Season, dryness: float) -> None:
    """Turn materials into display colours for a season."""
    low, high, weights = poles()
    low, high = low.copy(), high.copy()
    _set_season(low, high, season, dryness)
    planted = np.zeros(len(NAMES), np.float32)
    planted[[CODE["grass"], CODE["dry_grass"]]] = 0.01
    height, width = surface.shape
    for top in range(0, height, BAND_ROWS):
        rows = slice(top, min(top + BAND_ROWS, height))
        count = rows.stop - top
        code = surface.material[rows]
        mix = 0.5 + planted[code] * tone[rows]
        for index, name in enumerate(("broad", "middle", "fine")):
            mix += weights[:, index][code] * textures.window(name, top, count, width)
        np.clip(mix, -0.35, 1.35, out=mix)
        for band in range(4):
            colour = low[:, band][code] + (high - low)[:, band][code] * mix
            surface.albedo[band, rows] = np.clip(colour, 0, 255).astype(np.uint8)


def _set_season(low: np.ndarray, high: np.ndarray, season: Season, dryness: float) -> None:
    """Move the grass poles between straw and fresh green."""
    grass, dry = CODE["grass"], CODE["dry_grass"]
    straw = low[dry].copy(), high[dry].copy()
    green = float(np.clip(season.greenness - dryness, 0.0, 1.0))
    fresh = np.array([62, 88, 48, 172], np.float32), np.array([92, 116, 66, 196], np.float32)
    low[grass] = straw[0] + (fresh[0] - straw[0]) * green
    high[grass] = straw[1] + (fresh[1] - straw[1]) * min(green * 0.85, 1)
    low[dry] += (fresh[0] - straw[0]) * green * 0.45
    high[dry] += (fresh[1] - straw[1]) * green * 0.45
