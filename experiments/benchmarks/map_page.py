"""How soon the page of a damage map shows a picture in a browser: 150,000 made-up buildings over a made-up city.

Usage: python experiments/benchmarks/map_page.py [--buildings 150000] [--loads 5] [--chromium /usr/bin/chromium] --out runs/map_page
SYNTHETIC: one miniature city of 1 km² laid side by side, grades drawn at random. The page is opened anew in a headless Chromium of its own
for each load, from disk. Measured from the start of the navigation: the first frame with a part of an image in a panel, the first one with
buildings, and when the list can be used; beside them the page of a thousand buildings on the same image, in the same run.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pandas as pd
from odc.geo.geobox import GeoBox

from deepnets4eo.damage import GRADES, DamageMap
from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.damage.table.vocabulary import PRE_POST, STATUSES
from deepnets4eo.rasters import Layer
from deepnets4eo.synthetic import City

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TILE_PX, GSD_M = 1000, 1.0
EVIDENCE = 12  # columns, as many as a map has
FEW = 1000
# Notes the first frame after an image, and after outlines or squares, were drawn on a canvas that is seen.
WATCH = """(() => {
    const seen = window.seen = {};
    const note = (name) => { if (!(name in seen)) { seen[name] = 0; requestAnimationFrame(() => { seen[name] = performance.now(); }); } };
    const of = CanvasRenderingContext2D.prototype, draw = of.drawImage;
    of.drawImage = function (source, ...rest) {
        if (this.canvas.isConnected && this.canvas.dataset.role) note(source instanceof HTMLImageElement ? "image" : "buildings");
        return draw.call(this, source, ...rest);
    };
    const ready = new MutationObserver(() => { if (document.body?.dataset.ready && !seen.ready) seen.ready = performance.now(); });
    ready.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-ready"] });
})()"""


def make_map(buildings: int) -> tuple[DamageMap, Layer, Layer]:
    """A map of about so many buildings, and both images."""
    city = City(5, TILE_PX, GSD_M)
    outlines = city.footprints()
    along = math.ceil(math.sqrt(buildings / len(outlines)))
    step = TILE_PX * GSD_M
    frame = gpd.GeoDataFrame(
        pd.concat(
            [
                outlines[["geometry"]].assign(geometry=outlines.geometry.translate(col * step, -row * step))
                for row in range(along)
                for col in range(along)
            ],
            ignore_index=True,
        ).head(buildings),
        crs=outlines.crs,
    )
    rng = np.random.default_rng(0)
    prob = rng.beta(0.3, 2.0, len(frame))
    names = np.array(GRADES, dtype=object)[np.digitize(prob, [0.25, 0.5, 0.75])]
    columns = {
        "id": [f"way/{100_000_000 + 7 * number}" for number in range(len(frame))],
        "damage": names, "damage_prob": prob, "confidence": np.maximum(prob, 1 - prob), "damage_set": names,
        "status": STATUSES[0], "reason": "", "method": PRE_POST, "dx_px": rng.normal(size=len(frame)), "dy_px": rng.normal(size=len(frame)),
        **{f"ev_{number}": prob + rng.normal(0, 0.2, len(frame)) for number in range(EVIDENCE)},
    }  # fmt: skip
    grid = GeoBox((along * TILE_PX, along * TILE_PX), city.grid.affine, city.grid.crs)
    extent = gpd.GeoDataFrame(geometry=[grid.extent.geom], crs=outlines.crs)
    damage_map = DamageMap(frame.assign(**columns), extent, synthetic=True)
    pre, post = (
        Layer.open(np.tile(image[:3], (1, along, along)), grid=grid) for image in (city.pre.image, city.post.image)
    )
    return damage_map, pre, post


def write_page(damage_map: DamageMap, pre: Layer, post: Layer, path: Path) -> None:
    """Write the page and say how long that took and how large it is."""
    started = time.perf_counter()
    write_report(damage_map, summarize(damage_map, post.grid), path, post=post, pre=pre)
    seconds = time.perf_counter() - started
    print(
        f"{path.name}: {len(damage_map.buildings):,} buildings, {path.stat().st_size / 1e6:.1f} MB, written in {seconds:.1f} s"
    )


def measure(browser: Browser, path: Path, loads: int) -> dict[str, float]:
    """Seconds until each thing is seen, the median of so many loads."""
    rows = []
    for _ in range(loads):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(path.resolve().as_uri(), wait_until="commit")
        page.wait_for_function("() => window.seen.ready && window.seen.image && window.seen.buildings", timeout=20_000)
        rows.append(page.evaluate("window.seen"))
        context.close()
    return {name: float(np.median([row[name] for row in rows])) / 1000 for name in ("image", "buildings", "ready")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--buildings", type=int, default=150_000)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    damage_map, pre, post = make_map(options.buildings)
    few = DamageMap(damage_map.buildings.head(FEW), damage_map.assessed_extent, synthetic=True)
    pages = {name: options.out / f"{name}.html" for name in ("many", "few")}
    for name, one in (("many", damage_map), ("few", few)):
        write_page(one, pre, post, pages[name])
    from playwright.sync_api import sync_playwright

    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"] if root else [])
        seconds = {name: measure(browser, path, options.loads) for name, path in pages.items()}
        browser.close()
    for name, what in (("image", "first picture"), ("buildings", "first buildings"), ("ready", "list ready")):
        many, little = seconds["many"][name], seconds["few"][name]
        print(
            f"{what}: {many:.2f} s (SYNTHETIC), {many / little:.1f} times as long as with {FEW:,} buildings; load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
