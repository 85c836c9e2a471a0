"""The page of a flood map: images before and after, the probability of water, and what was measured."""

from __future__ import annotations

from typing import Any

from deepnets4eo.addresses import file_name_of
from deepnets4eo.floods.figures import headline_parts, page_headline, unknown_area
from deepnets4eo.floods.layer_names import FIRST, PERMANENT, POST, PRE
from deepnets4eo.floods.scene import FloodScene
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
from deepnets4eo.maps import Drawn, Overlay, RegionPage, one_class, page_language, region_kind
from deepnets4eo.outputs import Language, Quantity
from deepnets4eo.rasters import LabelMask, Layer

SUBJECT = "Flood map"  # of titles
COLOURS = {FLOOD: (0, 188, 224), PERMANENT_WATER: (52, 112, 214)}
TITLES = {FLOOD: "Flood", PERMANENT_WATER: "Water of unknown age"}
KIND = region_kind(
    SUBJECT, "flood", "This place and its flood are made up.",
    "No new water of the minimum size or larger was recognised. Muddy or shallow water, water under trees and between houses is often not seen: an "
    "empty list is no proof that the ground is dry. Look at both images, and lay the probability of water over them.",
)  # fmt: skip
CAVEATS = (
    "Images are averaged down where the page holds no detail; flood.tif, probability.tif and flood.gpkg hold the full resolution.",
    "Calm water is dark in radar, and so are tarmac, sand, salt flats and radar shadow; wind makes water bright. Water between "
    "houses and under trees is often not seen. Wet rice fields, frozen lakes and the sea at high tide look like floods.",
    "In fine optical images large surfaces of one colour are mapped as water: car parks and bare fields that are new can be among "
    "them, and narrow or dark, noisy water is missed.",
    "The interval of the flooded area comes from drawing blocks of the scene at random many times; it says nothing about errors of the map.",
)


def flood_page(opened: FloodScene, drawn: Drawn, summary: dict[str, Any], language: Language = "en") -> RegionPage:
    """Return the content of the page of a flood map."""
    polygons = drawn.polygons
    area, mapped = summary["area"], opened.mapped
    layers = {role: name for role, name in (("pre", FIRST), ("post", POST)) if name in opened.pictures}
    facts = [("Flooded" if mapped == FLOOD else "Water", headline_parts(summary)[0])]
    if opened.knows_before:
        facts.append(("Permanent water", Quantity.read(area, "permanent_water").value_text()))
    facts.append(("Not seen", Quantity.read(area, "not_seen").text()))
    if (unknown := unknown_area(area)) is not None:
        facts.append(("Not told", unknown.text()))
    if (buildings := summary.get("buildings")) is not None:
        roofs, not_known = Quantity.read(buildings, "built_inundated"), buildings["count"] - buildings["known"]
        text = f"{buildings['inundated']:,} of {buildings['known']:,}, {roofs.text()} of roofs"
        text += f"; {not_known:,} not known" if not_known else ""
        facts.append(("Buildings in the flood", text))
    for entry in summary.get("cover", []):
        facts.append((f"Flooded {entry['class']}", Quantity.read(entry, "flood").text()))
    for name, kind in opened.kinds.items():
        cuts = ", ".join(
            f"{band} {value:.3g}" for band, value in summary["thresholds"].get(name, {}).items() if value is not None
        )
        file = file_name_of(summary[name])
        facts.append((_role(name, opened), f"{file}: {kind}{f', threshold {cuts}' if cuts else ''}"))
    name = "flood" if mapped == FLOOD else "permanent_water"
    classes, numbers = one_class(
        TITLES[mapped], COLOURS[mapped], polygons, None if unknown is None else Quantity.read(area, name)
    )
    pixels = Layer(LabelMask(drawn.labels, mapped))
    water = Overlay(
        "Water, pixel by pixel", pixels, is_visible=unknown is not None, unknown="Not known", is_unknown_visible=True
    )
    return RegionPage(
        KIND, "Water", "Probability", page_headline(summary, language), facts, CAVEATS, classes, numbers,
        {role: opened.pictures[name] for role, name in layers.items()},
        {role: summary[name] for role, name in layers.items()},
        overlays=(water,), language=page_language(language),
    )  # fmt: skip


def _role(name: str, opened: FloodScene) -> str:
    """Return the name of an input on the page; several dates before are numbered, and the page shows the first."""
    several = sum(layer.startswith(PRE) for layer in opened.dates) > 1
    number = f" {name.removeprefix(PRE)}" if several else ""
    return (
        f"Image before{number}" if name.startswith(PRE) else {POST: "Image after", PERMANENT: "Permanent water"}[name]
    )
