"""The plan of a damage map: box, event, images before and after, outlines, and what was rejected; a YAML file that people change.

`make_plan` chooses the images; `Plan.crop` reads only the blocks that the box needs.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from deepnets4eo.addresses import name_of, without_secrets
from deepnets4eo.catalogues.candidates import ELSEWHERE, PlannedImage, best_pair, candidates_of, lean_difference
from deepnets4eo.catalogues.known import answers_of
from deepnets4eo.catalogues.options import FindOptions
from deepnets4eo.degree_boxes import Box, box_shape, box_text, box_width, check_box
from deepnets4eo.errors import InputError, Reading
from deepnets4eo.files import atomic_write, check_overwrite, plain, read_yaml, write_text
from deepnets4eo.formats import is_remote, lies_beside, parse_time
from deepnets4eo.jobs import file_state, name_hash
from deepnets4eo.options import Section, options_from
from deepnets4eo.outputs import LONGEST, EventInfo, Finding, Phrase, count_of

log = logging.getLogger(__name__)

MAX_REJECTED_LINES = 100  # lines
WHOLE_PERCENT = 99.0  # percent of the box
STOREY_M = 3.0
SEEN_PX, FAR_PX = 1.0, 5.0  # by which a storey's roof lies apart: mentioned, and a caution
STEEP_DEG = 20.0  # from which on hidden facades are mentioned
UNKNOWN_GSD_M = 0.5
MAX_NAMED, LABEL_LETTERS = 8, 90  # of rejected images in the picture
MAX_SIDES = 4  # of the box, that the picture reaches from its middle
NONE = "-"
COPY, STATE = "COPY_OF", "COPY_STATE"  # tags: hash of what was copied; sizes, times and ETags of its files
MARGIN_DEG = 0.0003  # about 30 m, for buildings that reach beyond the box
HEAD = "# A plan for `deepnets4eo damage {} --out DIR`. Change what is wrong; paths are relative to this file.\n"
SECRET = "# Its addresses have a password, a signature or a token: whoever has this file can use them. Nothing else that is written has them.\n"
LOOKS = {
    "before": ("tab:blue", "--", 2.5),
    "after": ("tab:orange", "-", 2.5),
    "": ("0.5", ":", 1),
    "box": ("black", "-", 1.5),
}

Shape = tuple[str, str, Any]  # role ("" for rejected), label, polygon


class Plan(Section):
    """A plan with the contents of its file; raises InputError for impossible values.

    Parameters
    ----------
    box : west, south, east and north, degrees; west is greater than east across 180°
    date : of the event
    event : keys of `EventInfo`
    before, after : the images; without an image before, buildings are assessed only from the image after
    outlines, outlines_credit : a file, or - to detect the buildings; to whom they are credited
    notes, rejected : observations, and a line for each image that was not chosen
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
    @Reading.of_source("Is it the right file? Correct it, or write it again.")
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
        head = HEAD.format(path.name) + (SECRET if without_secrets(plain(values)) != plain(values) else "")
        return write_text(path, head + text)

    @property
    def images(self) -> dict[str, PlannedImage]:
        """Role to image, those that there are."""
        return {role: image for role, image in (("before", self.before), ("after", self.after)) if image is not None}

    def event_info(self) -> EventInfo:
        """Event, dates, sensors and credit, for the products. Errors: InputError."""
        texts = [f"{image.credit} ({image.licence})".replace(" ()", "").strip() for image in self.images.values()]
        values = {"credit": "; ".join(dict.fromkeys(filter(None, [*texts, self.outlines_credit])))[:LONGEST]}
        for role, image in self.images.items():
            side = {"before": "pre", "after": "post"}[role]
            values |= {f"date_{side}": image.time, f"sensor_{side}": image.sensor}
        return EventInfo.parse([f"{key}={value}" for key, value in (values | self.event).items() if value])

    def crop(self, role: str, path: Path) -> str:
        """Return the image "before" or "after", cropped to the box and a margin, as a file next to the plan at `path`.

        The file is made once; "-" without an image. Raises InputError, GridError; OutputError if another file is there.
        """
        from deepnets4eo.rasters import Layer, copy_box

        image, out = self.images.get(role), path.with_name(f"{path.stem}_{role}.tif")
        if image is None:
            return NONE
        states = [None if (state := file_state(name)) is None else name_hash(json.dumps(state)) for name in image.files]
        tags = {COPY: name_hash(json.dumps([self.box, image.files, image.off_nadir_deg])), STATE: json.dumps(states)}
        tags |= {} if image.off_nadir_deg is None else {"OFF_NADIR": f"{image.off_nadir_deg:g}"}
        there = Layer.open(out).tags if out.is_file() else {}
        if there.get(COPY) != tags[COPY] or _differ(there.get(STATE, ""), states):
            check_overwrite(out, overwrite=COPY in there)
            west, south, east, north = check_box(self.box)
            around = (west - MARGIN_DEG, south - MARGIN_DEG, east + MARGIN_DEG, north + MARGIN_DEG)
            copy_box(image.files, around, tags, out)
        elif None in states:
            log.warning(
                "It is not known whether the image %s is still the one of which %s is a copy: its file is gone, or the server does not say. "
                "The copy is used; remove it to copy the image anew.", role, out,
            )  # fmt: skip
        return str(out)

    def findings(self) -> list[Finding]:
        """Return what the views hide, by how much roofs are apart, and the images that cover only a part of the box."""
        findings = list[Finding]()
        for role, image in self.images.items():
            angle = image.off_nadir_deg or 0.0
            if image.covered < WHOLE_PERCENT:
                findings.append(
                    Finding(
                        f"{role}_covers_a_part", "caution",
                        {"role": Phrase(f"plan_{role}"), "covered": image.covered}, wording="covers_a_part_of_box",
                    )
                )  # fmt: skip
            if angle >= STEEP_DEG:
                hidden_m = STOREY_M * math.tan(math.radians(angle))
                numbers = {"angle": angle, "hidden_m": hidden_m, "storey_m": STOREY_M}
                findings.append(
                    Finding(
                        f"{role}_off_nadir", "note", {"role": Phrase(f"plan_{role}"), **numbers}, wording="off_nadir"
                    )
                )
        return findings + self._findings_of_pair()

    def _findings_of_pair(self) -> list[Finding]:
        """Return by how much roofs are apart in both images, or that the distance is unknown."""
        images = [*self.images.values()]
        if len(images) < 2:
            return []
        angles = [image.off_nadir_deg for image in images]
        lean = lean_difference(*images)
        if lean is None:
            unknown = [role for role, image in self.images.items() if image.off_nadir_deg is None]
            role = unknown[0] if len(unknown) == 1 else "before_and_after"
            return [Finding("views_not_known", "note", {"role": Phrase(f"plan_{role}")})]
        least_m, apart_m = (factor * STOREY_M for factor in lean)
        gsd_m = max(image.gsd_m or 0 for image in images) or UNKNOWN_GSD_M
        apart_px = apart_m / gsd_m
        if apart_px < SEEN_PX:
            return []
        values = {
            "before_deg": angles[0], "after_deg": angles[1], "apart_m": apart_m, "apart_px": apart_px, "storey_m": STOREY_M,
        }  # fmt: skip
        if apart_m - least_m >= SEEN_PX * gsd_m:
            far = least_m >= FAR_PX * gsd_m
            return [
                Finding(
                    "views_not_known",
                    "caution" if far else "note",
                    values | {"least_m": least_m},
                    wording="directions_not_known",
                )
            ]
        return [Finding("views_differ", "caution" if apart_px >= FAR_PX else "note", values)]


def foreign_findings(plan: Plan, path: str | Path) -> list[Finding]:
    """Return findings for what the plan at `path` reads outside its folder without the user naming it: others may have made the plan."""
    names = [*(name for image in plan.images.values() for name in image.files), plan.outlines]
    files = [name for name in names if _is_path(name) and not lies_beside(Path(path), Path(name).resolve())]
    hosts = {name_of(name).partition("://")[2].partition("/")[0] or name for name in names if is_remote(name)}
    findings = []
    if files:
        findings.append(
            Finding("plan_reads_elsewhere", "caution", {"plan": Finding.verbatim(path), "files": _first(files)})
        )
    if hosts:
        findings.append(
            Finding("plan_reads_addresses", "note", {"plan": Finding.verbatim(path), "hosts": _first(sorted(hosts))})
        )
    return findings


def _first(names: Sequence[str]) -> Phrase:
    """Five names, and whether there are more."""
    listed = Finding.verbatim(", ".join(names[:5]))
    return Phrase("names_and_others" if len(names) > 5 else "all_names", {"names": listed})


def make_plan(
    catalogues: Sequence[str], box: Sequence[float], date: str, event: Mapping[str, str], options: FindOptions
) -> tuple[Plan, list[Shape]]:
    """Choose the images before and after an event from catalogues.

    Errors: InputError for a date or a box that is none, a catalogue that cannot be read, and no image after the event.

    Parameters
    ----------
    catalogues : addresses, paths or names of the card, see `search.read_items`; none: all of the card that are read by default
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
    times = _days_from(when, -options.days_before), _days_from(when, options.days_after + 1)
    answers, silent = answers_of(catalogues, sides, times)
    items = [(name, item) for name, (listed, _) in answers.items() for item in listed]
    images, failed, counts = candidates_of(items, sides, when, options, whole_day=":" not in date)
    before, after, value = best_pair(images)
    elsewhere = counts.pop(ELSEWHERE, 0)
    notes = [
        f"{name_of(name)}: {note} ({count} x)"
        for name, (_, note_counts) in answers.items()
        for note, count in note_counts.items()
    ]
    notes += [f"{name} was not read: {reason}" for name, reason in silent.items()]
    notes += [f"{note} ({count} x)" for note, count in counts.most_common(5)]
    notes.insert(0, f"{count_of(len(items), 'item')} read, {elsewhere} {ELSEWHERE}")
    if after is None:
        reasons = Counter(line.partition(": ")[2] for line, _ in failed).most_common(5)
        why = "; ".join([*notes[:4], *(f"{count} x {reason}" for reason, count in reasons)])
        raise InputError(
            f"no image after {date} shows the box {box_text(sides)}: {why}. Check box and date, give another --catalogue, or raise a limit "
            "with --set."
        )
    if before is None:
        notes.append("no image before the event: buildings are assessed from the image after it alone")
    chosen = [candidate for candidate in (before, after) if candidate is not None]
    others = sorted(
        (candidate for candidate in images if candidate is not before and candidate is not after),
        key=lambda one: -one.image.score,
    )
    rejected = [
        (f"{candidate.line}: score {candidate.score}, {candidate.role}", candidate.footprint) for candidate in others
    ]
    rejected += failed
    notes += [f"score of {candidate.image.name} ({candidate.role}): {candidate.score}" for candidate in chosen]
    both = " = both scores x likeness of the views" if before is not None else ""
    notes.append(f"score of the pair {value:.3f}{both}; {count_of(len(rejected), 'image')} rejected")
    plan = Plan(
        box=list(sides), date=date, event=dict(event), before=None if before is None else before.image, after=after.image,
        notes=notes, rejected=[line for line, _ in rejected][:MAX_REJECTED_LINES],
    )  # fmt: skip
    shapes = [(candidate.role, candidate.line, candidate.footprint) for candidate in chosen]
    return plan, shapes + [("", line, shape) for line, shape in rejected[:MAX_REJECTED_LINES] if shape is not None]


def _days_from(when: datetime, days: int) -> datetime:
    """Return the time `days` days later, limited to the years that exist."""
    try:
        return when + timedelta(days)
    except OverflowError:
        return (datetime.max if days > 0 else datetime.min).replace(tzinfo=UTC)


def draw_coverage(plan: Plan, shapes: Sequence[Shape], path: Path) -> Path:
    """Draw the box, the footprints of chosen images with their names, and the footprints of rejected images into a PNG."""
    import shapely
    from matplotlib.figure import Figure

    from deepnets4eo.display import drawn_text

    figure = Figure((7, 7), layout="constrained")
    axes = figure.subplots()
    whole = check_box(plan.box)
    box, *drawn = _in_one_turn(whole, [box_shape(whole), *(shape for _, _, shape in shapes)])
    shapes = [(role, label, shape) for (role, label, _), shape in zip(shapes, drawn, strict=True)]
    west, south, east, north = shapely.union_all([box, *(shape for role, _, shape in shapes if role)]).bounds
    side, middle = max(box_width(whole), whole[3] - whole[1]), shapely.centroid(box)
    reach = min(1.1 * max(middle.x - west, east - middle.x, middle.y - south, north - middle.y), MAX_SIDES * side)
    view = shapely.box(middle.x - reach, middle.y - reach, middle.x + reach, middle.y + reach)
    for role, label, shape in [*reversed(shapes), ("box", "", box)]:
        colour, style, width = LOOKS[role]
        for number, part in enumerate(shapely.get_parts(shape)):
            text = drawn_text(f"{role}: {label}".removesuffix(": ")) if role and not number else None
            corners = shapely.get_coordinates(shapely.get_exterior_ring(part)).T
            axes.plot(*corners, style, color=colour, linewidth=width, label=text)
            axes.fill(*corners, color=colour, alpha=0.12 if role else 0)
    dotted = [(label, shapely.intersection(shape, view)) for role, label, shape in shapes if not role]
    named = [(label, shape) for label, shape in dotted if shape.area > 0]
    for number, (label, shape) in enumerate(named[:MAX_NAMED], start=1):
        at = shapely.point_on_surface(shape)
        axes.annotate(f"{number}", (at.x, at.y), color="0.3", fontsize="small", ha="center")
        axes.plot([], [], ":", color="0.5", label=drawn_text(f"{number}: {label[:LABEL_LETTERS]}"))
    axes.set(xlim=(middle.x - reach, middle.x + reach), ylim=(middle.y - reach, middle.y + reach))
    more = f"; {len(named) - MAX_NAMED} more are in the plan" * (len(named) > MAX_NAMED)
    axes.set(
        title=drawn_text(f"Images around {plan.date}; dotted: rejected{more}"), xlabel="longitude", ylabel="latitude"
    )
    axes.set_aspect(1 / max(0.05, math.cos(math.radians(middle.y))))
    axes.locator_params(axis="x", nbins=4)
    figure.legend(loc="outside lower center", fontsize="small")
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=120)
    return path


def _in_one_turn(box: Box, shapes: Sequence[Any]) -> list[Any]:
    """Return shapes of a picture whose box is across 180° in longitudes from 0 to 360, so that both sides are next to each other."""
    import shapely

    def turned(part: Any) -> Any:
        return shapely.transform(part, lambda xy: xy + (360.0, 0.0)) if part.bounds[2] <= 0 else part

    if box[0] <= box[2]:
        return [*shapes]
    return [None if shape is None else shapely.union_all([*map(turned, shapely.get_parts(shape))]) for shape in shapes]


def describe_plan(path: str) -> tuple[dict[str, Any], list[str]]:
    """Facts and problems of a plan, for `check`; opens no image. Errors: InputError for another file."""
    plan = Plan.load(path)
    facts = {"box": f"{box_text(plan.box)} (west, south, east, north)", "date": plan.date, "outlines": plan.outlines}
    facts |= {
        role: f"{image.name}, {image.time}, {count_of(len(image.files), 'file')}" for role, image in plan.images.items()
    }
    names = [*(name for image in plan.images.values() for name in image.files), plan.outlines]
    missing = [name for name in names if _is_path(name) and not Path(name).exists()]
    problems = [f"{name} does not exist. Correct the plan." for name in missing]
    problems += [finding.whole for finding in [*foreign_findings(plan, path), *plan.findings()]]
    return facts | {"credit": plan.event_info().credit or "none"}, problems


def _differ(before: str, states: Sequence[Any]) -> bool:
    """Return whether files differ from their earlier states, as far as both states are known."""
    try:
        known = json.loads(before)
        return any(None not in (old, new) and old != new for old, new in zip(known, states, strict=True))
    except (ValueError, TypeError):
        return True


def relative_path(name: str, folder: Path) -> str:
    """Return a path below a folder relative to the folder; other paths whole; addresses and "-" unchanged."""
    if not _is_path(name):
        return name
    whole, folder = Path(name).resolve(), folder.resolve()
    return whole.relative_to(folder).as_posix() if folder in whole.parents else str(whole)


def _from(name: str, folder: Path) -> str:
    return os.path.normpath(folder / name) if _is_path(name) else name


def _is_path(name: str) -> bool:
    return name != NONE and not is_remote(name)
