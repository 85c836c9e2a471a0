"""GDAL's virtual rasters (.vrt), read here before GDAL reads them: which files they put together.

Takes a VRT on disk; gives the files it refers to. Refuses whatever is not known to be harmless: files outside the VRT's
own folder that the user did not name, bands of raw bytes, Python, URLs and archives, and XML with entities or too long.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.parsers import expat

from deepnets4eo.errors import InputError
from deepnets4eo.formats.access import check_beside, is_remote

MOST_BYTES = 64 << 20  # of XML: a hundred thousand tiles
SOURCES = {"sourcefilename", "sourcedataset"}
TEXTS = {*SOURCES, "srs", "sourcesrs", "targetsrs"}
REMEDY = "Put the VRT into a folder that holds its files, or give the files themselves (a folder of tiles, or a list)."
PLAIN_CRS = re.compile(r"\s*(\w+\s*\[|[A-Za-z]+:[\w:+]+\s*$|\+proj=|$)")  # WKT, EPSG:32615, PROJ; no address or file
# GDAL takes names of elements and attributes in any case, and attributes for elements: so both are listed, in lower case.
_ELEMENTS = """
    vrtdataset srs geotransform gcplist gcp metadata mdi vrtrasterband nodatavalue hidenodatavalue colorinterp
    description colortable entry categorynames category unittype offset scale maskband histograms histitem histmin
    histmax bucketcount includeoutofrange approximate histcounts simplesource complexsource averagedsource
    kernelfilteredsource nodatafrommasksource sourceband sourceproperties srcrect dstrect nodata scaleoffset
    scaleratio exponent srcmin srcmax dstmin dstmax clamp lut usemaskband colortablecomponent kernel size coefs
    overviewlist overview pixelfunctiontype pixelfunctionarguments sourcetransfertype blockxsize blockysize
    gdalwarpoptions warpmemorylimit resamplealg workingdatatype option sourcedataset transformer approxtransformer
    maxerror basetransformer genimgprojtransformer srcgeotransform srcinvgeotransform dstgeotransform
    dstinvgeotransform reprojecttransformer reprojectiontransformer sourcesrs targetsrs options bandlist bandmapping
    srcnodatareal srcnodataimag dstnodatareal dstnodataimag srcalphaband dstalphaband initdest cutline multiband
    gdalrasterattributetable fielddefn name type usage row f
"""
_ATTRIBUTES = """
    rasterxsize rasterysize subclass datatype band blockxsize blockysize relativetovrt shared domain key format
    dataaxistosrsaxismapping coordinateepoch projection id pixel line x y z info c1 c2 c3 c4 rasterband xoff yoff
    xsize ysize name resampling src dst normalized encoding version standalone min max row0min binsize tabletype index
"""
ELEMENTS, ATTRIBUTES = {*_ELEMENTS.split(), *SOURCES}, set(_ATTRIBUTES.split())
SUBCLASSES = {"VRTWarpedDataset", "VRTWarpedRasterBand", "VRTSourcedRasterBand", "VRTDerivedRasterBand"}
_SCHEME = re.compile(r"[A-Za-z][\w+.-]+:")  # of two letters at least: C: is a disk


def vrt_references(path: Path) -> list[Path]:
    """The files that a VRT refers to, resolved; those that do not exist are left out, GDAL names them.

    Errors: InputError naming what the VRT uses that is not allowed.
    """
    folder = path.resolve().parent
    references = []
    for name, relative in _Reader(path).read():
        if is_remote(name) or name.startswith("<") or _SCHEME.match(name):
            raise InputError(
                f"{path} refers to {name}, expected files beside it. Download it, or give it by itself, not through a VRT."
            )
        target = (folder / name if relative else Path(name)).resolve()
        check_beside(path, target, REMEDY)
        if target.exists():
            references.append(target)
    return references


class _Reader:
    """One pass over the XML that keeps nothing but references."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.references: list[tuple[str, bool]] = []
        self.text: list[str] | None = None
        self.relative = False

    def read(self) -> list[tuple[str, bool]]:
        """Each reference with whether it is relative to the VRT."""
        if self.path.stat().st_size > MOST_BYTES:
            raise self._refusal(f"has {self.path.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
        parser = expat.ParserCreate("UTF-8")
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = lambda *_: self._refuse("declares a document type")
        parser.ProcessingInstructionHandler = lambda *_: self._refuse("holds a processing instruction")
        parser.StartCdataSectionHandler = lambda: self._refuse("holds a CDATA section")
        parser.CommentHandler = self._comment
        try:
            parser.Parse(self.path.read_bytes(), True)
        except expat.ExpatError as error:
            raise InputError(f"{self.path} is not valid XML: {error}. Make the VRT again.") from error
        return self.references

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        values = {key.lower(): value for key, value in attributes.items()}
        if name.lower() not in ELEMENTS:
            self._refuse(f"uses <{name}>")
        if len(values) < len(attributes):
            self._refuse(f"has an attribute twice in <{name}>")
        if unknown := sorted(values.keys() - ATTRIBUTES):
            self._refuse(f"uses {unknown[0]}= in <{name}>")
        if values.get("subclass", "VRTSourcedRasterBand") not in SUBCLASSES:
            self._refuse(f"has bands of the kind {values['subclass']}")
        if values.get("key", "").upper() == "OVERVIEW_FILE":
            self._refuse("names a file of overviews")
        if self.text is not None:
            self._refuse(f"has <{name}> within a text")
        if values.get("relativetovrt", "0") not in ("0", "1"):
            self._refuse(f"has relativeToVRT={values['relativetovrt']!r}")
        if name.lower() in TEXTS:
            self.text, self.relative = [], values.get("relativetovrt") == "1"

    def _end(self, name: str) -> None:
        if self.text is None:
            return
        text, self.text = "".join(self.text), None
        if name.lower() in SOURCES:
            if text != text.strip() or not text.isprintable():  # GDAL leaves blanks away, and finds another file
                self._refuse(f"has blanks or control characters in the file name {text!r}")
            self.references.append((text, self.relative))
        elif not PLAIN_CRS.match(text):
            self._refuse(f"gives its CRS as {text[:80]!r}")

    def _characters(self, text: str) -> None:
        if self.text is not None:
            self.text.append(text)

    def _comment(self, text: str) -> None:
        if "<" in text or ">" in text:
            self._refuse("holds elements in a comment")

    def _refuse(self, what: str) -> Any:
        raise self._refusal(what)

    def _refusal(self, what: str) -> InputError:
        return InputError(
            f"{self.path} {what}: only mosaics, warps and subsets of files beside a VRT are read. "
            "Turn it into a GeoTIFF where you trust it: gdal_translate IN.vrt OUT.tif"
        )
