"""Make the pictures of pages in docs/images from the demo's city: the report, the review page and the click page (all SYNTHETIC),
and the pictures of grades on the review page, in the assets of the package.

Usage: python scripts/page_pictures.py [OUT]        docs/images by default

Needs Chromium (its path in CHROMIUM) and playwright. pages.json holds the headline of the demo whose page the picture shows; a test
compares its words with the demo's.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from deepnets4eo.cli.main import main as run_command
from deepnets4eo.damage import GRADES
from deepnets4eo.damage.review import ReviewServer
from deepnets4eo.files import read_json, write_json
from deepnets4eo.prediction import ClickReview, ClickServer, open_scene
from deepnets4eo.segmenters import load_run
from deepnets4eo.synthetic import City, Event

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
KEYS = {grade: str(number) for number, grade in enumerate(GRADES, 1)}  # of the review page
ANSWERS, LOOKS = 32, 60
CLICKS = 5
MEANINGS = Path(__file__).resolve().parents[1] / "deepnets4eo" / "damage" / "review" / "assets"
GRADED_CITY = (7, 512, 0.25)  # seed, side in pixels, metres a pixel
SHOWN = {
    "minor-damage": "b00023",
    "major-damage": "b00051",
}  # looked at: one with missing tiles, one whose roof has fallen in
HALF_PX, ENLARGED = 56, 3
TAUGHT_MS = 120_000
SETTLE_MS = 1000  # canvases draw after their images are there


def make_pictures(out: Path, place: Path) -> None:
    """Run the demo in `place`, and photograph its report, a review of its map, and clicks on labels of its city."""
    picture_grades(MEANINGS if out == IMAGES else out)
    demo = place / "demo"
    command("demo", "--out", str(demo))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        photograph_report(browser, demo, out / "report_minicity.png")
        photograph_review(browser, demo, out / "review_page.png")
        photograph_clicks(browser, place, out / "click_page.png")
        browser.close()
    write_json(out / "pages.json", {"headline": read_json(demo / "damage" / "summary.json")["headline"]})


def picture_grades(out: Path) -> None:
    """Write a picture before and after of a building with minor and one with major damage (SYNTHETIC), for the review page."""
    still = Event(damage_shares=(0.2, 0.4, 0.4, 0.0), shift_px=(0.0, 0.0), rotation_deg=0.0, scale=1.0)
    city = City(*GRADED_CITY, event=still)
    buildings = city.buildings.set_index("id")
    for grade, name in SHOWN.items():
        if buildings.damage[name] != grade:
            raise RuntimeError(f"{name} has {buildings.damage[name]}, expected {grade}. Choose another building.")
        middle = buildings.geometry[name].centroid
        col, row = map(int, ~city.grid.affine * (middle.x, middle.y))
        around = np.s_[:3, row - HALF_PX : row + HALF_PX, col - HALF_PX : col + HALF_PX]
        pair = np.concatenate([date.image[around] for date in (city.pre, city.post)], axis=2)
        image = Image.fromarray(np.ascontiguousarray(np.moveaxis(pair, 0, 2)))
        image.resize((ENLARGED * image.width, ENLARGED * image.height)).save(out / f"{grade}.webp", quality=70)


def command(*words: str) -> None:
    """Run a command line in this process; raises RuntimeError if it fails."""
    if status := run_command(list(words)):
        raise RuntimeError(f"deepnets4eo {' '.join(words)} ended with status {status}.")


def photograph_report(browser: Browser, demo: Path, path: Path) -> None:
    """Photograph the report with a destroyed building opened."""
    page = browser.new_page(viewport={"width": 1400, "height": 860}, reduced_motion="reduce")
    page.goto((demo / "damage" / "report.html").as_uri())
    page.locator("#table .body .row").nth(1).click()
    settle(page)
    page.screenshot(path=path)


def photograph_review(browser: Browser, demo: Path, path: Path) -> None:
    """Photograph the page of a review after answers that are the truth of the city."""
    command("review", str(demo / "damage"), "--looks", str(LOOKS))
    truth = gpd.read_file(demo / "city" / "truth.gpkg", layer="buildings").set_index("id")["damage"]
    server = ReviewServer(demo / "damage", demo / "damage" / "review.gpkg", "Anna", 10)
    server.rounds.measure_look()
    with answering(server):
        page = browser.new_page(viewport={"width": 900, "height": 760}, color_scheme="dark", reduced_motion="reduce")
        page.goto(server.address)
        page.locator(".chip img").first.wait_for()
        for number in range(1, ANSWERS + 1):
            name = page.locator("#name").inner_text().split("·")[-1].strip()
            page.keyboard.press(KEYS.get(truth.get(name), "0"))
            page.locator("#count", has_text=f"{number} of ").wait_for()
        page.locator("#state", has_text="Taught by").wait_for(timeout=TAUGHT_MS)
        settle(page)
        page.screenshot(path=path)


def photograph_clicks(browser: Browser, place: Path, path: Path) -> None:
    """Photograph the page on which clicks correct the labels of the shipped network for land cover."""
    city = City(9, 256, 0.5)
    truth, run = city.labels("isprs"), load_run("landcover")
    scene = open_scene(str(city.write(place / "suburb") / "pre.tif"), run.segmenter)
    server = ClickServer(ClickReview(run, scene, place / "clicks"), "suburb")
    with answering(server):
        page = browser.new_page(viewport={"width": 885, "height": 740}, color_scheme="dark", reduced_motion="reduce")
        page.goto(server.address)
        page.locator("#answers button").first.wait_for()
        for number in range(1, CLICKS + 1):
            click_asked_pixel(page, server, truth)
            page.locator("#count", has_text=f"{number} click").wait_for()
        page.keyboard.press("n")
        settle(page)
        page.screenshot(path=path)


def click_asked_pixel(page: Page, server: ClickServer, truth: NDArray[Any]) -> None:
    """Give the class of the pixel that the page asks for."""
    row, col = server.review.next_click()
    window = server.review.window
    page.keyboard.press("n")
    page.locator("#status", has_text=f"Row {row + 1}, column {col + 1}").wait_for()
    page.keyboard.press(str(int(truth[window.row + row, window.col + col]) + 1))
    page.keyboard.press("Enter")


@contextmanager
def answering(server: Any) -> Iterator[None]:
    """Let a server answer in a thread within the context."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield
        server.shutdown()


def settle(page: Page) -> None:
    """Wait until all pictures of a page are drawn."""
    page.wait_for_function("[...document.images].every((image) => image.complete)")
    page.wait_for_timeout(SETTLE_MS)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES, Path(folder))
