"""The page of a flood map: images before and after, the probability of water, and what was measured."""

from __future__ import annotations

from typing import Any

from deepnets4eo.addresses import file_name_of
from deepnets4eo.floods.figures import page_headline, unknown_area
from deepnets4eo.floods.layer_names import FIRST, PERMANENT, POST, PRE
from deepnets4eo.floods.scene import FloodScene
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
from deepnets4eo.maps import Drawn, Overlay, RegionPage, one_class, page_language, region_kind
from deepnets4eo.outputs import Language, Phrase, Quantity, number_text
from deepnets4eo.outputs.map_page import PageLanguage
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
    unknown = unknown_area(area)
    layers = {role: name for role, name in (("pre", FIRST), ("post", POST)) if name in opened.pictures}
    name = "flood" if mapped == FLOOD else "permanent_water"
    classes, numbers = one_class(
        TITLES[mapped], COLOURS[mapped], polygons, None if unknown is None else Quantity.read(area, name), language
    )
    pixels = Layer(LabelMask(drawn.labels, mapped))
    overlays = [
        Overlay(
            "Water, pixel by pixel",
            pixels,
            is_visible=unknown is not None,
            unknown="Not known",
            is_unknown_visible=True,
        )
    ]
    if mapped == FLOOD and Quantity.read(area, "permanent_water").value:
        lasting = Layer(LabelMask(drawn.labels, PERMANENT_WATER))
        overlays.append(Overlay("Permanent water", lasting, colour=COLOURS[PERMANENT_WATER]))
    return RegionPage(
        KIND, "Water", "Probability", page_headline(summary, language), _facts(opened, summary, language), CAVEATS, classes, numbers,
        {role: opened.pictures[name] for role, name in layers.items()},
        {role: summary[name] for role, name in layers.items()},
        overlays=overlays, language=page_language(language),
    )  # fmt: skip


def _facts(opened: FloodScene, summary: dict[str, Any], language: Language) -> list[tuple[str, str]]:
    area, words = summary["area"], page_language(language)
    mapped = ("Flooded", "flood") if opened.mapped == FLOOD else ("Water", "permanent_water")
    facts = [(mapped[0], Quantity.read(area, mapped[1]).text(language))]
    if opened.knows_before:
        facts.append(("Permanent water", Quantity.read(area, "permanent_water").value_text(language)))
    facts.append(("Not seen", Quantity.read(area, "not_seen").text(language)))
    if (unknown := unknown_area(area)) is not None:
        facts.append(("Not told", unknown.text(language)))
    if (buildings := summary.get("buildings")) is not None:
        facts.append(("Buildings in the flood", _buildings(buildings, language)))
    for entry in summary.get("cover", []):
        of_class = words.say("Flooded: {}").replace("{}", entry["class"])
        facts.append((of_class, Quantity.read(entry, "flood").text(language)))
    for name, kind in opened.kinds.items():
        facts.append((_role(name, opened, words), _date(summary, name, kind, language)))
    return facts


def _buildings(buildings: dict[str, Any], language: Language) -> str:
    """Return how many buildings stand in the flood, and for how many it is not known."""
    unknown, roofs = buildings["count"] - buildings["known"], Quantity.read(buildings, "built_inundated").text(language)
    values: dict[str, Any] = {name: buildings[name] for name in ("inundated", "known")}
    values |= {"roofs": Phrase.verbatim(roofs), "unknown": unknown or None}
    return Phrase("roofs_in_flood", values).text(language)


def _date(summary: dict[str, Any], name: str, kind: str, language: Language) -> str:
    """Return the file of a date, its kind, and the thresholds between water and land."""
    cuts = ", ".join(
        f"{band} {number_text(value, language, '.3g')}"
        for band, value in summary["thresholds"].get(name, {}).items() if value is not None
    )  # fmt: skip
    in_words = page_language(language).say(kind)  # of another package as it is
    values: dict[str, Any] = {"file": Phrase.verbatim(file_name_of(summary[name])), "kind": Phrase.verbatim(in_words)}
    if not cuts:
        return Phrase("date_of_kind", values).text(language)
    return Phrase("date_by_threshold", values | {"cuts": Phrase.verbatim(cuts)}).text(language)


def _role(name: str, opened: FloodScene, words: PageLanguage) -> str:
    """Return the name of an input on the page; several dates before are numbered, and the page shows the first."""
    if name.startswith(PRE) and sum(layer.startswith(PRE) for layer in opened.dates) > 1:
        return words.say("Image before {}").replace("{}", name.removeprefix(PRE))
    return "Image before" if name.startswith(PRE) else {POST: "Image after", PERMANENT: "Permanent water"}[name]
