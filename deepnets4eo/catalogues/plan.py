"""The plan of a damage map: box, event, images before and after, outlines, and what was rejected; a YAML file that people change.

`make_plan` chooses the images; `Plan.crop` reads only the blocks that the box needs.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from deepnets4eo.catalogues.candidates import PlannedImage, best_pair, candidates_of, lean_difference
from deepnets4eo.catalogues.options import FindOptions
from deepnets4eo.catalogues.search import parse_time, read_items
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write, check_overwrite, plain, read_yaml, write_text
from deepnets4eo.formats.access import is_remote
from deepnets4eo.grid import box_text, check_box
from deepnets4eo.options import Section, options_from
from deepnets4eo.outputs.event import LONGEST, EventInfo
from deepnets4eo.outputs.findings import Finding, count_of

MOST_REJECTED = 100  # lines
WHOLE = 99.0  # percent of the box
STOREY_M = 3.0
SEEN_PX, FAR_PX = 1.0, 5.0  # by which a storey's roof lies apart: mentioned, and a caution
STEEP_DEG = 20.0  # from which on hidden facades are mentioned
UNKNOWN_GSD_M = 0.5
MOST_SIDES = 4  # of the box, that the picture reaches from its middle
NONE = "-"
COPY = "COPY_OF"  # tag
MARGIN_DEG = 0.0003  # about 30 m, for buildings that reach beyond the box
HEAD = "# A plan for `deepnets4eo damage {} --out DIR`. Change what is wrong; paths are relative to this file.\n"
LOOKS = {
    "before": ("tab:blue", "--", 2.5),
    "after": ("tab:orange", "-", 2.5),
    "": ("0.5", ":", 1),
    "box": ("black", "-", 1.5),
}

Shape = tuple[str, str, Any]  # role ("" for rejected), label, polygon


class Plan(Section):
    """A plan as its file holds it; InputError for values that cannot be.

    Parameters
    ----------
    box : west, south, east and north, degrees
    date : of the event
    event : keys of `EventInfo`
    before, after : the images; without one before, buildings are assessed from the image after alone
    outlines, outlines_credit : a file, or - to detect the buildings; to whom they are credited
    notes, rejected : what was seen, and a line for each image that was not chosen
    """

    box: list[float]
    date: str
    event: dict[str, str] = Field(default_factory=dict)
    before: PlannedImage | None = None
    after: PlannedImage
    outlines: str = NONE
    outlines_credit: str = ""
    notes: list[str] = Field(default_factory=list)
    rejected: list[str] = Field(default_factory=list)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan, its paths as seen from here. Errors: InputError."""
        content = read_yaml(path)
        if not isinstance(content, dict) or "box" not in content:
            raise InputError(f"{path} is no plan, which has a box and images. Make one with `deepnets4eo find`.")
        plan, folder = options_from(cls, content, str(path)), Path(path).parent
        try:
            check_box(plan.box)
            plan.event_info()
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        update: dict[str, Any] = {
            role: image.model_copy(update={"files": [_from(name, folder) for name in image.files]})
            for role, image in plan.images.items()
        }
        return plan.model_copy(update=update | {"outlines": _from(plan.outlines, folder)})

    def save(self, path: Path) -> Path:
        """Write the plan, its paths as seen from its folder."""
        values = self.model_dump(exclude_none=True)
        for image in (values[role] for role in self.images):
            image["files"] = [relative_path(name, path.parent) for name in image["files"]]
        values["outlines"] = relative_path(self.outlines, path.parent)
        text = yaml.safe_dump(plain(values), sort_keys=False, allow_unicode=True, width=160)
        return write_text(path, HEAD.format(path.name) + text)

    @property
    def images(self) -> dict[str, PlannedImage]:
        """Role to image, those that there are."""
        return {role: one for role, one in (("before", self.before), ("after", self.after)) if one is not None}

    def event_info(self) -> EventInfo:
        """Event, dates, sensors and credit, for the products. Errors: InputError."""
        texts = [f"{one.credit} ({one.licence})".replace(" ()", "").strip() for one in self.images.values()]
        values = {"credit": "; ".join(dict.fromkeys(filter(None, [*texts, self.outlines_credit])))[:LONGEST]}
        for role, image in self.images.items():
            side = {"before": "pre", "after": "post"}[role]
            values |= {f"date_{side}": image.time, f"sensor_{side}": image.sensor}
        return EventInfo.parse([f"{key}={value}" for key, value in (values | self.event).items() if value])

    def crop(self, role: str, path: Path) -> str:
        """The image "before" or "after" in the box and a margin as a file beside the plan at `path`, made once; "-" without one.

        Errors: InputError, GridError; OutputError where another file is there.
        """
        from deepnets4eo.rasters.layer import Layer
        from deepnets4eo.rasters.mosaic import copy_box

        image, out = self.images.get(role), path.with_name(f"{path.stem}_{role}.tif")
        if image is None:
            return NONE
        tags = {COPY: json.dumps([self.box, image.files, image.off_nadir_deg])}
        tags |= {} if image.off_nadir_deg is None else {"OFF_NADIR": f"{image.off_nadir_deg:g}"}
        there = Layer.open(out).tags.get(COPY) if out.is_file() else None
        if there != tags[COPY]:
            check_overwrite(out, overwrite=there is not None)
            west, south, east, north = check_box(self.box)
            around = (west - MARGIN_DEG, south - MARGIN_DEG, east + MARGIN_DEG, north + MARGIN_DEG)
            copy_box(image.files, around, tags, out)
        return str(out)

    def findings(self) -> list[Finding]:
        """What the views hide, by how much roofs lie apart, and images that cover a part of the box."""
        findings, images = list[Finding](), [*self.images.values()]
        for role, image in self.images.items():
            angle = image.off_nadir_deg or 0.0
            if image.covered < WHOLE:
                text = f"The image {role} covers {image.covered:.0f} % of the box; other buildings are not assessed from it."
                findings.append(Finding(f"{role}_covers_a_part", "caution", text, "Make another plan for the rest."))
            if angle >= STEEP_DEG:
                text = (
                    f"The image {role} was taken {angle:.0f} degrees off nadir: facades on the far side are hidden, and "
                    f"{STOREY_M * math.tan(math.radians(angle)):.1f} m of ground behind each storey of {STOREY_M:g} m."
                )
                findings.append(Finding(f"{role}_off_nadir", "note", text, "Damage there cannot be seen."))
        lean = lean_difference(*images) if len(images) == 2 else None
        apart_m = (lean or 0.0) * STOREY_M
        apart_px = apart_m / (max(one.gsd_m or 0 for one in images) or UNKNOWN_GSD_M)
        if apart_px >= SEEN_PX:
            angles = " and ".join(f"{one.off_nadir_deg:.0f}" for one in images)
            up_to = "up to " * any(one.azimuth_deg is None for one in images)
            text = (
                f"The views differ ({angles} degrees off nadir): with each storey of {STOREY_M:g} m a roof lies {up_to}{apart_m:.1f} m "
                f"({apart_px:.0f} px) farther apart in both images, and other facades are visible."
            )
            remedy = "Compare high buildings by eye, or choose similar views."
            findings.append(Finding("views_differ", "caution" if apart_px >= FAR_PX else "note", text, remedy))
        return findings


def make_plan(
    catalogues: Sequence[str], box: Sequence[float], date: str, event: Mapping[str, str], options: FindOptions
) -> tuple[Plan, list[Shape]]:
    """Choose the images before and after an event from catalogues.

    Errors: InputError for a date or a box that is none, a catalogue that cannot be read, and no image after the event.

    Parameters
    ----------
    catalogues : addresses or paths, see `search.read_items`
    box : west, south, east and north, degrees
    date : day of the event (UTC), or day and time: 2023-02-06T01:17Z
    event : keys of `EventInfo`
    options : which images are candidates

    Returns
    -------
    The plan, and what `draw_coverage` draws.
    """
    sides, when = check_box(box), parse_time(date)
    if when is None:
        raise InputError(f"--date is {date!r}, expected a day such as 2023-02-06, or with time 2023-02-06T01:17Z.")
    times = when - timedelta(options.days_before), when + timedelta(options.days_after + 1)
    answers = {name: read_items(name, sides, times) for name in catalogues}
    items = [(name, item) for name, (listed, _) in answers.items() for item in listed]
    images, failed, elsewhere = candidates_of(items, sides, when, options, whole_day="T" not in date)
    before, after, value = best_pair(images)
    notes = [f"{name}: {note} ({count} x)" for name, (_, counts) in answers.items() for note, count in counts.items()]
    notes.insert(0, f"{count_of(len(items), 'item')} read, {elsewhere} outside of the box")
    if after is None:
        reasons = Counter(line.partition(": ")[2] for line, _ in failed).most_common(5)
        why = "; ".join([*notes[:4], *(f"{count} x {reason}" for reason, count in reasons)])
        raise InputError(
            f"no image after {date} shows the box {box_text(sides)}: {why}. Check box and date, give another --catalogue, or raise a limit "
            "with --set."
        )
    if before is None:
        notes.append("no image before the event: buildings are assessed from the image after it alone")
    chosen = [one for one in (before, after) if one is not None]
    others = sorted((one for one in images if one is not before and one is not after), key=lambda one: -one.image.score)
    rejected = [(f"{one.line}: score {one.image.score:.3f} {one.role}", one.footprint) for one in others]
    rejected += failed
    notes.append(f"score of the pair {value:.3f}; {count_of(len(rejected), 'image')} rejected")
    plan = Plan(
        box=list(sides), date=date, event=dict(event), before=None if before is None else before.image, after=after.image,
        notes=notes, rejected=[line for line, _ in rejected][:MOST_REJECTED],
    )  # fmt: skip
    shapes = [(one.role, one.line, one.footprint) for one in chosen]
    return plan, shapes + [("", line, shape) for line, shape in rejected[:MOST_REJECTED] if shape is not None]


def draw_coverage(plan: Plan, shapes: Sequence[Shape], path: Path) -> Path:
    """Draw the box, the footprints of the chosen images and those of rejected ones into a PNG."""
    import shapely
    from matplotlib.figure import Figure

    figure = Figure((7, 7), layout="constrained")
    axes = figure.subplots()
    box = shapely.box(*plan.box)
    west, south, east, north = shapely.union_all([box, *(shape for role, _, shape in shapes if role)]).bounds
    side, middle = max(plan.box[2] - plan.box[0], plan.box[3] - plan.box[1]), shapely.centroid(box)
    reach = min(1.1 * max(middle.x - west, east - middle.x, middle.y - south, north - middle.y), MOST_SIDES * side)
    for role, label, shape in [*reversed(shapes), ("box", "", box)]:
        colour, style, width = LOOKS[role]
        for number, part in enumerate(shapely.get_parts(shape)):
            text = f"{role}: {label}".removesuffix(": ") if role and not number else None
            corners = shapely.get_coordinates(shapely.get_exterior_ring(part)).T
            axes.plot(*corners, style, color=colour, linewidth=width, label=text)
            axes.fill(*corners, color=colour, alpha=0.12 if role else 0)
    axes.set(xlim=(middle.x - reach, middle.x + reach), ylim=(middle.y - reach, middle.y + reach))
    axes.set(title=f"Images around {plan.date}; dotted: rejected", xlabel="longitude", ylabel="latitude")
    axes.set_aspect(1 / max(0.05, math.cos(math.radians(middle.y))))
    axes.locator_params(axis="x", nbins=4)
    figure.legend(loc="outside lower center", fontsize="small")
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path


def describe_plan(path: str) -> tuple[dict[str, Any], list[str]]:
    """Facts and problems of a plan, for `check`; opens no image. Errors: InputError for another file."""
    plan = Plan.load(path)
    facts = {"box": f"{box_text(plan.box)} (west, south, east, north)", "date": plan.date, "outlines": plan.outlines}
    facts |= {role: f"{one.name}, {one.time}, {count_of(len(one.files), 'file')}" for role, one in plan.images.items()}
    names = [*(name for one in plan.images.values() for name in one.files), plan.outlines]
    missing = [name for name in names if _is_path(name) and not Path(name).exists()]
    problems = [f"{name} does not exist. Correct the plan." for name in missing]
    problems += [f"{one.message} {one.remedy}" for one in plan.findings()]
    return facts | {"credit": plan.event_info().credit or "none"}, problems


def relative_path(name: str, folder: Path) -> str:
    """A path below a folder as seen from there; other paths whole, addresses and "-" as they are."""
    if not _is_path(name):
        return name
    whole, folder = Path(name).resolve(), folder.resolve()
    return whole.relative_to(folder).as_posix() if folder in whole.parents else str(whole)


def _from(name: str, folder: Path) -> str:
    return os.path.normpath(folder / name) if _is_path(name) else name


def _is_path(name: str) -> bool:
    return name != NONE and not is_remote(name)
