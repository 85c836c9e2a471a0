"""A made-up report page opened in a browser, for the tests of the page.

The images are of one value and so drawn black: both canvases then hold the shared drawing alone and must be equal.
"""

from dataclasses import replace

import numpy as np
from made_up_map import make_grid

from deepnets4eo.damage.products.html import write_report
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.rasters.scene import Layer

DESKTOP = {"viewport": {"width": 1400, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
PIXELS = """() => [...document.querySelectorAll("#panels canvas")].map((canvas) => {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const data = context.getImageData(0, 0, copy.width, copy.height).data;
    let hash = 17;
    for (let i = 0; i < data.length; i++) hash = (Math.imul(hash, 31) + data[i]) | 0;
    return hash;
})"""


def black(grid):
    return Layer.open(np.full((3, *grid.shape), 7, np.uint8), grid=grid)


def write(damage_map, path, *, with_pre=True, grid=None, event=None, scores=(), **summary):
    """The page of `damage_map`; `event` has what is known of it, `summary` replaces members of its summary."""
    if event is not None:
        damage_map = replace(damage_map, event=EventInfo(**event))
    grid = grid or make_grid()
    members = {**summarize(damage_map, grid), **summary}
    return write_report(
        damage_map, members, path, post=black(grid), pre=black(grid) if with_pre else None, scores=scores
    )


class Visit:
    """A page with everything that it asked for and complained about."""

    def __init__(self, browser, path, options):
        self.context = browser.new_context(reduced_motion="reduce", **options)
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.route("**/*", lambda route: route.continue_() if self._local(route.request.url) else route.abort())
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]")

    @staticmethod
    def _local(url):
        return url.startswith(("file:", "data:", "blob:"))

    @property
    def left_the_page(self):
        return [url for url in self.requests[1:] if not url.startswith(("data:", "blob:"))]

    def pixels(self):
        """Hashes of what the panels show, once it rests."""
        self.page.wait_for_timeout(250)
        return self.pixels_of(self.page)

    @staticmethod
    def pixels_of(page):
        """Hashes of what the panels of a page show now."""
        return page.evaluate(PIXELS)

    def middle(self, role):
        box = self.page.locator(f"canvas[data-role={role}]").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def listed(self):
        return self.page.locator("#table .body .row").evaluate_all("rows => rows.map((row) => row.dataset.id)")


def by_probability(damage_map):
    frame = damage_map.buildings
    assessed = frame[frame["status"] == "assessed"].sort_values("damage_prob", ascending=False, kind="stable")
    return [*assessed["id"], *frame.loc[frame["status"] != "assessed", "id"]]
