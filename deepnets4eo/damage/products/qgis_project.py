"""damage.qgz: a QGIS project with the styled buildings over both images, written as XML without QGIS."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pyproj

from deepnets4eo.damage.products.exchange_formats import clean_text
from deepnets4eo.damage.products.qgis_layout import NO_PLACE, LayoutWords, print_layout
from deepnets4eo.damage.products.qgis_styles import (
    QgisDocument,
    areas_style,
    buildings_style,
    confidence_style,
    extent_style,
    raster_pipe,
    water_style,
    without_outlines_style,
)
from deepnets4eo.damage.products.summary import description_lines
from deepnets4eo.errors import InputError
from deepnets4eo.files import atomic_write
from deepnets4eo.formats import is_remote
from deepnets4eo.grid import transformer, utm_code

if TYPE_CHECKING:
    from deepnets4eo.damage.products.content import DamageMapContent
    from deepnets4eo.grid import Grid
    from deepnets4eo.rasters import Layer

NAME = "damage.qgs"
CHECKED, UNCHECKED = "Qt::Checked", "Qt::Unchecked"
WET = "buildings_in_water"  # the layer of those that stand in new water
SURE = "buildings_by_confidence"  # the same buildings in the colours of confidence
EXTENT = "assessed_extent"
WEB_MERCATOR = 3857  # has no metres of the ground
SUBJECTS = {
    "damage": "buildings",
    "confidence": SURE,
    "inundation": WET,
    "areas": "areas",
}  # theme → its layer, over extents and images
IMAGES = {
    "before": "pre_image",
    "after": "post_image",
}  # theme → beginning of the images that it shows alone, in the assessed extent
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # two runs of one job write the same bytes
MARGIN = 0.02  # of the post image's extent, around it
KEY = (
    "damage_map_{}"  # of a layer: QGIS gives layers of ten characters or fewer other keys, and loses them from its tree
)


@dataclass(frozen=True)
class _MapLayer:
    """A layer of the project; style: the elements that follow its provider."""

    key: str
    title: str
    source: str
    provider: str
    crs: ET.Element
    style: Sequence[ET.Element]
    visible: bool = True


def write_project(
    damage_map: DamageMapContent, path: str | Path, *, home: Path, post: Layer, pre: Layer | None = None
) -> Path:
    """Write the project for the folder `home`, next to damage.gpkg; the pre image is drawn as georeferenced, its offset in the title."""
    path = Path(path)
    text = QgisDocument.doctype + ET.tostring(_project(damage_map, home, post, pre), encoding="unicode")
    return _write_archive(path, {NAME: text.encode("utf-8", "replace")})


def _write_archive(path: Path, members: Mapping[str, bytes]) -> Path:
    with atomic_write(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, FIXED_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return path


def write_review_project(project: Path, sample: Path, layer: str, style: Sequence[ET.Element]) -> Path:
    """Write a copy of the map's project with the sample on top, without the map's results for buildings. Raises InputError."""
    path = sample.with_suffix(".qgz")
    try:
        with zipfile.ZipFile(project) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = next(member for member in members if member.endswith(".qgs"))
        root = ET.fromstring(members.pop(name))
        tree, layers = root.find("layer-tree-group"), root.find("projectlayers")
        crs = root.find("projectCrs/spatialrefsys")
        if tree is None or layers is None or crs is None:
            raise ET.ParseError("parts are missing")
    except (OSError, zipfile.BadZipFile, ET.ParseError, StopIteration) as error:
        raise InputError(
            f"{project} cannot be read as a project of QGIS. Open {sample.name} by itself, or make the map again."
        ) from error
    for node in tree.iter("layer-tree-layer"):
        if node.get("id") in {KEY.format(subject) for subject in SUBJECTS.values()}:
            node.set("checked", UNCHECKED)
    on_top = _MapLayer(
        KEY.format(sample.stem), "Buildings to look at", f"./{sample.name}|layername={layer}", "ogr", crs, style
    )
    first = next((row for row, node in enumerate(tree) if node.tag.startswith("layer-tree")), len(tree))
    tree.insert(first, _tree_node(on_top))
    _add_layer(layers, on_top)
    text = QgisDocument.doctype + ET.tostring(root, encoding="unicode")
    return _write_archive(path, {name: text.encode("utf-8", "replace"), **members})


def _project(damage_map: DamageMapContent, home: Path, post: Layer, pre: Layer | None) -> ET.Element:
    title = ("SYNTHETIC " if damage_map.synthetic else "") + damage_map.title
    root = ET.Element("qgis", projectname=clean_text(title), version=QgisDocument.version)
    ET.SubElement(root, "homePath", path="")
    ET.SubElement(root, "title").text = clean_text(title)
    view = _view_crs(post.grid)
    ET.SubElement(root, "projectCrs").append(_crs_element(view))
    subjects = _vector_layers(damage_map, _crs_element(_crs_of(post.grid)))
    groups = {
        "Damage": subjects,
        _post_title(damage_map): _image_layers("post", post, home),
        _pre_title(damage_map): [] if pre is None else _image_layers("pre", pre, home),
    }
    tree = ET.SubElement(root, "layer-tree-group")
    ET.SubElement(tree, "customproperties")
    for group, layers in groups.items():
        if layers:
            _add_group(tree, group, layers)
    extent = _view_extent(post.grid, view)
    _add_canvas(root, extent, view)
    projectlayers = ET.SubElement(root, "projectlayers")
    for layer in (layer for layers in groups.values() for layer in layers):
        _add_layer(projectlayers, layer)
    _add_themes(root, [layer.key for layers in groups.values() for layer in layers])
    legend = [_tree_node(layer) for layer in subjects if layer.visible]
    page = print_layout(None if view is None else extent, LayoutWords.of(damage_map, title), legend, "damage")
    ET.SubElement(root, "Layouts").append(page)
    _add_properties(root, title, damage_map)
    ET.indent(root)
    return root


def _vector_layers(damage_map: DamageMapContent, crs: ET.Element) -> list[_MapLayer]:
    styles: dict[str, tuple[str, Sequence[ET.Element]]] = {
        "buildings": ("Buildings by visible damage", buildings_style(damage_map.table.ranked)),
        EXTENT: ("Assessed extent", [extent_style()]),
    }
    if damage_map.extent_without_outlines is not None:
        styles["imaged_without_outlines"] = ("Imaged ground without outlines", [without_outlines_style()])
    if damage_map.areas is not None:
        styles["areas"] = ("Share of damaged buildings by area", [areas_style()])
    layers = [
        _MapLayer(KEY.format(name), title, f"./damage.gpkg|layername={name}", "ogr", crs, style, name != "areas")
        for name, (title, style) in styles.items()
    ]
    again = layers[0].source
    views = [
        _MapLayer(
            KEY.format(SURE),
            "Confidence in the grade",
            again,
            "ogr",
            crs,
            [confidence_style(damage_map.table.ranked)],
            False,
        )
    ]
    if "inundated" in damage_map.buildings:
        wet = f"{again}|subset=\"inundated\" = 'yes'"
        views.append(_MapLayer(KEY.format(WET), "Buildings in new water", wet, "ogr", crs, [water_style()], False))
    layers[1:1] = views
    return layers


def _image_layers(role: str, image: Layer, home: Path) -> list[_MapLayer]:
    """One layer a file; none for arrays, web addresses, and images in plain pixels, which QGIS draws upside down."""
    if image.grid.crs is None and image.grid.affine.e > 0:
        return []
    paths = [path for path in image.paths if not is_remote(path)]
    crs = _crs_element(_crs_of(image.grid))
    style = [raster_pipe(image)] if paths else []
    return [
        _MapLayer(KEY.format(f"{role}_image_{number}"), Path(path).name, _source_of(path, home), "gdal", crs, style)
        for number, path in enumerate(paths)
    ]


def _post_title(damage_map: DamageMapContent) -> str:
    return " ".join(text for text in ("Post image", damage_map.event.date_post) if text)


def _pre_title(damage_map: DamageMapContent) -> str:
    title = " ".join(text for text in ("Pre image", damage_map.event.date_pre) if text)
    if damage_map.registration.get("status") == "failed":
        return f"{title} (not registered)"
    shift = damage_map.registration.get("shift_m")
    return f"{title} (lies {shift:.1f} m off the post image)" if shift else title


def _source_of(path: str, home: Path) -> str:
    """Return the path of the file, relative if it is in or next to the folder of the project."""
    full, folder = os.path.abspath(path), os.path.abspath(home)
    if Path(full).is_relative_to(Path(folder).parent) and Path(folder).parent != Path(folder):
        relative = Path(os.path.relpath(full, folder)).as_posix()
        return relative if relative.startswith("..") else f"./{relative}"
    return Path(full).as_posix()


def _crs_of(grid: Grid) -> pyproj.CRS | None:
    return None if grid.crs is None else grid.crs.proj


def _view_crs(grid: Grid) -> pyproj.CRS | None:
    """Return the CRS of the image if it is in metres, else the UTM zone of its middle."""
    if grid.crs is None or (not grid.crs.geographic and grid.crs.proj.to_epsg() != WEB_MERCATOR):
        return _crs_of(grid)
    code = utm_code(grid.crs.proj, grid.affine * (grid.shape[1] / 2, grid.shape[0] / 2))
    return _crs_of(grid) if code.endswith("…") else pyproj.CRS.from_user_input(code)


def _crs_element(crs: pyproj.CRS | None) -> ET.Element:
    """Return `spatialrefsys` as QGIS writes it; without content if there is no CRS."""
    element = ET.Element("spatialrefsys", nativeFormat="Wkt")
    if crs is None:
        return element
    authority = crs.to_authority(min_confidence=100)
    parts = {"wkt": crs.to_wkt()}
    if authority is not None:
        parts["authid"] = ":".join(authority)
    parts |= {"description": crs.name, "geographicflag": "true" if crs.is_geographic else "false"}
    for name, value in parts.items():
        ET.SubElement(element, name).text = clean_text(value)
    return element


def _add_group(tree: ET.Element, name: str, layers: Sequence[_MapLayer]) -> None:
    group = ET.SubElement(
        tree, "layer-tree-group", name=name, checked=CHECKED, expanded="1" if len(layers) < 9 else "0"
    )
    ET.SubElement(group, "customproperties")
    group.extend(_tree_node(layer) for layer in layers)


def _tree_node(layer: _MapLayer) -> ET.Element:
    node = ET.Element(
        "layer-tree-layer", id=layer.key, name=clean_text(layer.title), checked=CHECKED if layer.visible else UNCHECKED, expanded="1",
        providerKey=layer.provider, source=clean_text(layer.source),
    )  # fmt: skip
    ET.SubElement(node, "customproperties")
    return node


def _view_extent(grid: Grid, view: pyproj.CRS | None) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of the post image with a margin, in the CRS of the project."""
    left, bottom, right, top = grid.extent.boundingbox
    if grid.crs is not None and view is not None and view != grid.crs.proj:
        left, bottom, right, top = transformer(grid.crs, view).transform_bounds(left, bottom, right, top)
    margin = MARGIN * max(right - left, top - bottom)
    return left - margin, bottom - margin, right + margin, top + margin


def _add_canvas(root: ET.Element, extent: tuple[float, float, float, float], view: pyproj.CRS | None) -> None:
    """Add the initial view: the whole post image."""
    canvas = ET.SubElement(root, "mapcanvas", name="theMapCanvas", annotationsVisible="1")
    if view is not None:
        ET.SubElement(canvas, "units").text = "degrees" if view.is_geographic else "meters"
    box = ET.SubElement(canvas, "extent")
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), extent, strict=True):
        ET.SubElement(box, name).text = repr(float(value))
    ET.SubElement(canvas, "rotation").text = "0"
    ET.SubElement(canvas, "destinationsrs").append(_crs_element(view))


def _add_themes(root: ET.Element, keys: Sequence[str]) -> None:
    """Add themes: a layer of buildings or areas over extents and images, or only the images of one date."""
    subjects = {KEY.format(layer) for layer in SUBJECTS.values()}
    layers_of = {
        name: [key for key in keys if key == KEY.format(subject) or key not in subjects]
        for name, subject in SUBJECTS.items()
        if KEY.format(subject) in keys
    }
    for name, role in IMAGES.items():
        if images := [key for key in keys if key.startswith(KEY.format(role))]:
            layers_of[name] = [KEY.format(EXTENT), *images]
    themes = ET.SubElement(root, "visibility-presets")
    for name, visible in layers_of.items():
        theme = ET.SubElement(themes, "visibility-preset", {"name": name, "has-expanded-info": "0"})
        for key in sorted(keys):
            ET.SubElement(theme, "layer", id=key, visible=str(int(key in visible)), expanded="0")


def _add_layer(projectlayers: ET.Element, layer: _MapLayer) -> None:
    vector = layer.provider == "ogr"
    kind = {"type": "vector", "geometry": "Polygon"} if vector else {"type": "raster"}
    element = ET.SubElement(projectlayers, "maplayer", {**kind, "hasScaleBasedVisibilityFlag": "0"})
    for name, text in (("id", layer.key), ("datasource", layer.source), ("layername", layer.title)):
        ET.SubElement(element, name).text = clean_text(text)
    ET.SubElement(element, "srs").append(layer.crs)
    ET.SubElement(element, "provider", {"encoding": "UTF-8"} if vector else {}).text = layer.provider
    element.extend(layer.style)
    ET.SubElement(element, "blendMode").text = "0"
    if vector:
        ET.SubElement(element, "layerOpacity").text = "1"


def _add_properties(root: ET.Element, title: str, damage_map: DamageMapContent) -> None:
    """Relative paths, a CRS that is used, and title, event, findings and caveats as metadata."""
    properties = ET.SubElement(root, "properties")
    for group, name, kind, value in (
        ("SpatialRefSys", "ProjectionsEnabled", "int", "1"),  # without it QGIS opens the project without its CRS
        ("Paths", "Absolute", "bool", "false"),
    ):
        ET.SubElement(ET.SubElement(properties, group), name, type=kind).text = value
    metadata = ET.SubElement(root, "projectMetadata")
    for name, value in {
        "identifier": "",
        "type": "dataset",
        "title": title,
        "abstract": "\n".join(
            [*description_lines(damage_map), *([NO_PLACE] if damage_map.buildings.crs is None else [])]
        ),
        "author": damage_map.event.producer,
    }.items():
        ET.SubElement(metadata, name).text = clean_text(value)
