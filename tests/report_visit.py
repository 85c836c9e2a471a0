"""A made-up report page opened in a browser, for the tests of the page.

The images are of one value and so drawn black: both canvases then hold the shared drawing alone and must be equal.
"""

from dataclasses import replace

import numpy as np
from made_up_map import make_grid

from deepnets4eo.damage.products.report import write_report
from deepnets4eo.damage.products.summary import summarize
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import Layer

DESKTOP = {"viewport": {"width": 1400, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SCREENS = {True: ((390, 844), (768, 1024)), False: ((1280, 800), (1920, 1080))}  # with fingers, and without
# What is wider than the screen, which texts are cut without a sign or a way to scroll, and which controls are smaller than a finger or a mouse needs.
FAULTS = """() => {
    const found = {}, note = (what, element) => { (found[what] ??= []).push(element.outerHTML.slice(0, 120)); };
    const least = matchMedia("(pointer: coarse)").matches ? 40 : 24;
    if (document.documentElement.scrollWidth > innerWidth) note("wider than the screen", document.body);
    for (const element of document.querySelectorAll("body *")) {
        if (!element.checkVisibility({ visibilityProperty: true }) || !element.getClientRects().length) continue;
        const style = getComputedStyle(element), box = (element.closest("label:has(> input[type=checkbox])") ?? element).getBoundingClientRect();
        const hides = (axis) => ["hidden", "clip"].includes(style[axis]) && element.innerText?.trim() && element.tagName !== "BODY";
        const says = style.textOverflow === "ellipsis" || style.webkitLineClamp !== "none";
        if (hides("overflowX") && element.scrollWidth > element.clientWidth + 1 && !says) note("cut at its side", element);
        if (hides("overflowY") && element.scrollHeight > element.clientHeight + 2 && !says) note("cut below", element);
        if (!element.matches("button, select, textarea, input, .button")) continue;
        if (Math.round(box.height) < least) note("lower than " + least + " px", element);
        if (element.matches("button, select") && Math.round(box.width) < 24) note("narrower than a finger", element);
    }
    return Object.fromEntries(Object.entries(found).map(([what, all]) => [what, all.slice(0, 3)]));
}"""


def of_panels(fold: str) -> str:
    """JavaScript that returns one value per panel. fold : statements that return it from `data`, the panel's bytes of RGBA"""
    return (
        """() => [...document.querySelectorAll("#panels canvas")].map((canvas) => {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const data = context.getImageData(0, 0, copy.width, copy.height).data;
    """
        + fold
        + "\n})"
    )


PIXELS = of_panels("""let hash = 17;
    for (let i = 0; i < data.length; i++) hash = (Math.imul(hash, 31) + data[i]) | 0;
    return hash;""")

FRAMES = """async () => {
    for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
}"""
# Notes what a page waits for: frames, timers and images, each with its delay in ms.
WATCH = """(() => {
    const waiting = window.waitedFor = new Map();
    const watch = (startName, stopName) => {
        const start = window[startName], stop = window[stopName];
        window[startName] = (act, ms = 0) => {
            const id = start((...values) => { waiting.delete(startName + id); act(...values); }, ms);
            waiting.set(startName + id, ms);
            return id;
        };
        window[stopName] = (id) => { waiting.delete(startName + id); stop(id); };
    };
    watch("requestAnimationFrame", "cancelAnimationFrame");
    watch("setTimeout", "clearTimeout");
    window.Image = class extends Image {
        constructor() {
            super();
            waiting.set(this, 0);
            for (const end of ["load", "error"]) this.addEventListener(end, () => waiting.delete(this));
        }
    };
})()"""
NOTHING_WAITED_FOR = "(ms) => [...window.waitedFor.values()].every((delay) => delay > ms)"


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
    """A page of a browser with everything that it asked for and complained about since the last file was opened in it."""

    def __init__(self, browser, options):
        self.options = options
        self.context = browser.new_context(reduced_motion="reduce", **options)
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.add_init_script(WATCH)
        self.page.route("**/*", lambda route: route.continue_() if self._local(route.request.url) else route.abort())
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path, *, swipe=False):
        """Load a file as into a fresh page: nothing that was done in this one before has an effect. swipe: leave one panel if it opens so."""
        self.page.mouse.move(0, 0)
        self.page.emulate_media(media="null", color_scheme="light")
        self.context.clear_permissions()
        if self.page.viewport_size != self.options["viewport"]:
            self.page.set_viewport_size(self.options["viewport"])
        self.requests.clear()
        self.complaints.clear()
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("body[data-ready]")
        if not swipe and self.page.locator("#swipe[aria-pressed=true]").count():
            self.page.keyboard.press("s")
        return self

    @staticmethod
    def _local(url):
        return url.startswith(("file:", "data:", "blob:"))

    @property
    def left_the_page(self):
        page = self.requests[0]  # it may be loaded again
        return [
            url for url in self.requests[1:] if not url.startswith(("data:", "blob:")) and url.split("#")[0] != page
        ]

    def frames(self):
        """Wait until the browser has laid out and drawn the page again."""
        self.page.evaluate(FRAMES)

    def rest(self, longest_ms=200):
        """Wait until the page waits for nothing: no frame, no image, no timer of at most so long."""
        self.frames()
        self.page.wait_for_function(NOTHING_WAITED_FOR, arg=longest_ms)

    def pixels(self):
        """Hashes of what the panels show, once the page rests."""
        self.rest()
        return self.page.evaluate(PIXELS)

    def address(self):
        """Where the page is now; playwright's own `url` follows later."""
        return self.page.evaluate("location.href")

    def middle(self, role):
        box = self.page.locator(f"canvas[data-role={role}]").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def listed(self):
        return self.page.locator("#table .body .row").evaluate_all("rows => rows.map((row) => row.dataset.id)")


def by_probability(damage_map):
    frame = damage_map.buildings
    assessed = frame[frame["status"] == "assessed"].sort_values("damage_prob", ascending=False, kind="stable")
    return [*assessed["id"], *frame.loc[frame["status"] != "assessed", "id"]]
