"""Rasters are opened by the driver of their first bytes, and reach nothing that the user did not name."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.formats import allow_user_files, check_exist, open_raster, rasters
from deepnets4eo.formats.drivers import raster_driver
from deepnets4eo.rasters import Layer

SECRET = b"root:x:0:0:a line that nobody outside should read" + bytes(64)
SIDE_PX = 8


def write_tif(path: Path, value: int = 7, side_px: int = SIDE_PX, **tags: str) -> Path:
    write_geotiff(path, np.full((side_px, side_px), value, np.uint8), crs=None, tiled=False)
    if tags:
        with rasterio.open(path, "r+") as file:
            file.update_tags(ns="OVERVIEWS", **tags)
    return path


def vrt(source: str, *, relative: bool = False, band: str = "", side_px: int = SIDE_PX, more: str = "") -> str:
    """A virtual raster of one band over `source`, as gdalbuildvrt writes it."""
    return (
        f'<VRTDataset rasterXSize="{side_px}" rasterYSize="{side_px}">{more}<VRTRasterBand dataType="Byte" band="1"{band}>'
        f'<SimpleSource><SourceFilename relativeToVRT="{int(relative)}">{source}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )


def raw_vrt(source: str, relative: bool) -> str:
    """A virtual raster that shows the bytes of any file."""
    return (
        '<VRTDataset rasterXSize="16" rasterYSize="4"><VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativeToVRT="{int(relative)}">{source}</SourceFilename><ImageOffset>0</ImageOffset>'
        "<PixelOffset>1</PixelOffset><LineOffset>16</LineOffset></VRTRasterBand></VRTDataset>"
    )


def refused(path: Path | str, *words: str) -> str:
    """The message with which a raster is refused, by Python and by `check`; it names the file and the words."""
    with pytest.raises(InputError) as error:
        Layer.open(path)
    message = str(error.value)
    assert Path(path).name in message
    for word in words:
        assert word in message
    assert main(["check", str(path)]) == 2
    return message


@pytest.mark.parametrize("relative", [True, False])
def test_a_tif_that_is_a_virtual_raster_of_raw_bytes_returns_no_bytes_of_other_files(tmp_path, relative):
    (tmp_path / "secret.txt").write_bytes(SECRET)
    path = tmp_path / "image.tif"
    path.write_text(raw_vrt("secret.txt" if relative else str(tmp_path / "secret.txt"), relative))
    refused(path, "VRTRawRasterBand", "gdal_translate")


def test_a_virtual_raster_reads_files_of_its_own_folder_and_below(tmp_path):
    write_tif(tmp_path / "tiles" / "a.tif", 5)
    path = tmp_path / "all.vrt"
    path.write_text(vrt("tiles/a.tif", relative=True))
    data, valid = Layer.open(path).read()
    assert (data == 5).all()
    assert valid.all()


@pytest.mark.parametrize("way", ["absolute", "dots", "link"])
def test_a_virtual_raster_reads_nothing_outside_its_folder(tmp_path, way):
    outside = write_tif(tmp_path / "outside" / "a.tif")
    path = tmp_path / "inside" / "all.vrt"
    path.parent.mkdir()
    if way == "link":
        (path.parent / "link.tif").symlink_to(outside)
    source = {"absolute": str(outside), "dots": "../outside/a.tif", "link": "link.tif"}[way]
    path.write_text(vrt(source, relative=way != "absolute"))
    refused(path, str(outside), "outside its own folder", "tiles")


def test_a_virtual_raster_reads_files_and_folders_that_the_user_named(tmp_path):
    outside = write_tif(tmp_path / "outside" / "a.tif", 9)
    path = tmp_path / "inside" / "all.vrt"
    path.parent.mkdir()
    path.write_text(vrt("../outside/a.tif", relative=True))
    for named in (outside, outside.parent, f"image={outside}"):
        with allow_user_files([str(path), str(named)]):
            assert (Layer.open(path).read()[0] == 9).all()
    assert main(["check", str(path), str(outside)]) == 0
    refused(path)  # and the leave is not remembered


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (vrt("/vsicurl/http://example.com/x.tif"), "/vsicurl/http://example.com/x.tif"),
        (vrt("https://example.com/x.tif"), "https://example.com/x.tif"),
        (vrt("/vsizip/beside.zip/a.tif"), "/vsizip/"),
        (vrt("vrt://a.tif?bands=1"), "vrt://"),
        (vrt("DERIVED_SUBDATASET:AMPLITUDE:a.tif"), "DERIVED_SUBDATASET"),
        (vrt("&lt;VRTDataset/&gt;"), "<VRTDataset/>"),
        (vrt("a.tif", relative=True, more="<OverviewList/><PansharpeningOptions/>"), "<PansharpeningOptions>"),
        (vrt("a.tif", relative=True, more='<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">b</MDI></Metadata>'),
         "overviews"),
        (vrt("a.tif", relative=True, more="<!-- <SimpleSource/> -->"), "comment"),
        (vrt("a.tif", relative=True, more="<![CDATA[<SimpleSource/>]]>"), "CDATA"),
        (vrt("a.tif", relative=True, more="<?x <SimpleSource/> ?>"), "processing instruction"),
        (vrt("a.tif", relative=True).replace("<SourceBand>", '<SourceBand SourceFilename="b.tif">'), "sourcefilename"),
        (vrt("a.tif", relative=True).replace("<SourceBand>", "<OpenOptions/><SourceBand>"), "<OpenOptions>"),
        (vrt("a.tif", relative=True, band=' subClass="VRTDerivedRasterBand"').replace(
            "<SimpleSource>", "<PixelFunctionLanguage>Python</PixelFunctionLanguage><SimpleSource>"), "PixelFunction"),
        (vrt("a.tif", relative=True)[:-12], "not valid XML"),
        (vrt("  ../b.tif", relative=True), "blanks"),
        (vrt("a.tif&#10;", relative=True), "blanks"),
        (vrt("a.tif").replace('relativeToVRT="0"', 'relativeToVRT="00"'), "relativeToVRT"),
        (vrt("a.tif").replace('relativeToVRT="0"', 'relativeToVRT="1" relativetoVRT="0"'), "twice"),
        (vrt("a.tif", relative=True, more="<SRS>http://127.0.0.1:1/crs</SRS>"), "127.0.0.1"),
        (vrt("a.tif", relative=True, more="<SRS>/etc/hostname</SRS>"), "/etc/hostname"),
    ],
)  # fmt: skip
def test_a_virtual_raster_with_anything_but_local_images_is_refused(tmp_path, text, word):
    write_tif(tmp_path / "a.tif")
    write_tif(tmp_path / "b.tif")
    path = tmp_path / "all.vrt"
    path.write_text(text)
    refused(path, word)


def test_a_virtual_raster_with_entities_is_refused_before_they_are_expanded(tmp_path):
    path = tmp_path / "all.vrt"
    path.write_text("<VRTDataset/>")  # only the order of the two differs: GDAL would call it a VRT by its name
    entities = '<!DOCTYPE VRTDataset [<!ENTITY a "aaaaaaaaaa">]>'
    path.write_text(f"{entities}{vrt('&a;')}")
    refused(path, "XML" if path.read_bytes().startswith(b"<?") else "not a raster")
    path.write_text(vrt("a.tif").replace("<VRTRasterBand", f"{entities}<VRTRasterBand", 1))
    refused(path)


def test_what_a_virtual_raster_refers_to_is_looked_at_as_well(tmp_path):
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "inner.tif").write_text(raw_vrt("secret.txt", relative=True))
    path = tmp_path / "all.vrt"
    path.write_text(vrt("inner.tif", relative=True))
    with raises_naming(InputError, "VRTRawRasterBand"):
        Layer.open(path)
    path.write_text(vrt("all.vrt", relative=True))
    with raises_naming(InputError, "VRT"):
        Layer.open(path)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/${{z}}</ServerUrl></Service></GDAL_WMS>", "WMS"),
        ("<WMS_Tiles/>", "unknown"),
        ("<GDAL_WCS><ServiceURL>{url}/wcs?</ServiceURL><CoverageName>a</CoverageName></GDAL_WCS>", "WCS"),
        ("<GDAL_WMTS><GetCapabilitiesUrl>{url}/wmts</GetCapabilitiesUrl></GDAL_WMTS>", "WMTS"),
        ("<GDALTileIndexDataset><IndexDataset>{url}/i.fgb</IndexDataset></GDALTileIndexDataset>", "GTI"),
        ('{{"stac_version": "1.0.0", "type": "FeatureCollection", "features": [{{"assets": {{"image": {{"href": "{url}/a.tif",'
         '"proj:epsg": 4326, "proj:transform": [1, 0, 0, 0, -1, 0], "proj:shape": [8, 8]}}}}}}]}}', "JSON"),
        ('{{"type": "gdal_streamed_alg", "command_line": "gdal raster read {url}/a.tif"}}', "JSON"),
        ("%PDF-1.7", "PDF"),
        ("CDF\x01", "NetCDF"),
        ("\x89HDF\r\n\x1a\n", "HDF5"),
        ("hello", "unknown format"),
        ("", "empty"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["image.tif", "image.png"])
def test_formats_that_go_online_or_hold_many_rasters_are_refused_whatever_they_are_called(
    tmp_path, server, text, kind, name
):
    path = tmp_path / name
    path.write_bytes(text.format(url=server.url).encode("latin-1") if text else b"")
    refused(path, kind, "GeoTIFF", "gdal_translate")
    assert server.requests == []


@pytest.mark.parametrize("suffix", [".ovr", ".msk", ".OVR", ".oVr"])
def test_a_side_file_that_is_a_virtual_raster_is_refused(tmp_path, server, suffix):
    path = write_tif(tmp_path / "image.tif", side_px=512)
    Path(f"{path}{suffix}").write_text(vrt(f"/vsicurl/{server.url}/x.tif", side_px=256), encoding="utf-8")
    with raises_naming(InputError, suffix):
        Layer.open(path).thumbnail(64)
    assert server.requests == []


def test_side_files_made_by_gdaladdo_are_read(tmp_path):
    path = write_tif(tmp_path / "image.tif", 3, side_px=512)
    write_tif(Path(f"{path}.ovr"), 200, side_px=256)
    assert (Layer.open(path).thumbnail(64)[0] > 100).all()  # from the overview, which says something else


@pytest.mark.parametrize("where", ["tags", "side file", "within a VRT"])
def test_overviews_elsewhere_are_refused(tmp_path, server, where):
    address = f"/vsicurl/{server.url}/ov.tif"
    path = write_tif(
        tmp_path / "image.tif", side_px=512, **({} if where == "side file" else {"OVERVIEW_FILE": address})
    )
    if where == "side file":
        table = (
            f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{address}</MDI></Metadata></PAMDataset>'
        )
        Path(f"{path}.aux.xml").write_text(table, encoding="utf-8")
    if where == "within a VRT":
        path = tmp_path / "all.vrt"
        path.write_text(vrt("image.tif", relative=True, side_px=512))
    with pytest.raises(InputError, match="overviews"):
        Layer.open(path).thumbnail(64)
    assert server.requests == []


@pytest.mark.parametrize(
    "name",
    [
        "vrt://image.tif?bands=1", "DERIVED_SUBDATASET:AMPLITUDE:image.tif", "GTIFF_DIR:1:image.tif", "<VRTDataset/>",
        "/vsistdin/", "/vsisubfile/0_10,image.tif", "MEM:::DATAPOINTER=0", "ftp://example.com/a.tif",
    ],
)  # fmt: skip
def test_names_that_only_gdal_understands_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_tif(tmp_path / "image.tif")
    with pytest.raises(InputError):
        Layer.open(name)


def test_a_file_called_as_a_prefix_of_gdal_is_that_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tif(tmp_path / "NETCDF:a", 4)
    assert (Layer.open("NETCDF:a").read()[0] == 4).all()


@pytest.mark.parametrize(
    "refuse", [Layer.open, lambda name: check_exist(["b.tif", name])], ids=["raster", "inputs of a job"]
)
def test_a_name_of_a_layer_within_a_file_has_its_remedy(refuse):
    with raises_naming(InputError, "NETCDF:a.nc:ndvi", "translate the layer"):
        refuse("NETCDF:a.nc:ndvi")
    with raises_naming(InputError, "a.tif") as error:
        refuse("a.tif")
    assert "layer" not in str(error.value)


def test_an_address_that_the_user_gave_is_read_and_nothing_else_there(tmp_path, server):
    write_tif(server.folder / "a.tif", 6)
    assert (Layer.open(f"{server.url}/a.tif").read()[0] == 6).all()
    assert any("/a.tif" in line for line in server.requests)
    (server.folder / "b.tif").write_text(vrt("/etc/hostname"))
    with raises_naming(InputError, "b.tif"):
        Layer.open(f"{server.url}/b.tif")


def test_an_archive_that_the_user_named_is_read(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(write_tif(tmp_path / "a.tif", 6), "a.tif")
    assert (Layer.open(f"/vsizip/{tmp_path}/a.zip/a.tif").read()[0] == 6).all()


def test_a_raster_of_one_huge_block_is_refused(tmp_path):
    path = write_tif(tmp_path / "strips.tif", side_px=513)
    open_raster(path, most_block_bytes=512 * 512).close()  # in strips, which are small
    huge = write_geotiff(
        tmp_path / "huge.tif", np.zeros((513, 513), np.uint8), crs=None, blockysize=513, compress="deflate"
    )
    open_raster(huge).close()
    with raises_naming(InputError, "huge.tif", "263", "169", "262", "144", "TILED", "YES"):
        open_raster(huge, most_block_bytes=512 * 512)


def test_a_virtual_raster_that_gdal_made_is_read(tmp_path):
    from rasterio.shutil import copy
    from rasterio.vrt import WarpedVRT

    path = write_geotiff(
        tmp_path / "a.tif",
        np.full((64, 64), 7, np.uint8),
        crs="EPSG:32615",
        nodata=0,
        tags={"AREA_OR_POINT": "Area", "note": "a < b & c"},
    )
    with rasterio.open(path, "r+") as file:
        file.set_band_description(1, "red")
    copy(path, tmp_path / "plain.vrt", driver="VRT")
    with rasterio.open(path) as file, WarpedVRT(file, crs="EPSG:4326") as warped:
        copy(warped, tmp_path / "warped.vrt", driver="VRT")
    for name in ("plain.vrt", "warped.vrt"):
        assert "VRTDataset" in (tmp_path / name).read_text()
        data, valid = Layer.open(tmp_path / name).read()
        assert (data[0][valid] == 7).mean() > 0.99
        assert valid.mean() > 0.5


def test_a_file_that_was_changed_is_looked_at_again(tmp_path):
    path = write_tif(tmp_path / "image.tif")
    Layer.open(path)
    path.write_text(raw_vrt("secret.txt", relative=True))
    with raises_naming(InputError, "VRTRawRasterBand"):
        Layer.open(path)


def test_a_file_is_looked_at_once_however_many_threads_open_it(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(rasters, "raster_driver", lambda path: looks.append(path) or raster_driver(path))
    paths = [write_tif(tmp_path / f"{number}.tif") for number in range(3)]
    for path in paths * 4:
        open_raster(path).close()
    assert sorted(looks) == paths


@pytest.mark.parametrize(("kind", "most"), [({}, 255), ({"nbits": 1}, 1), ({"dtype": np.uint16}, 65535)])
def test_a_negative_is_refused_wherever_it_stands(tmp_path: Path, kind: dict, most: int) -> None:
    values = np.random.default_rng(0).integers(0, 2, (SIDE_PX, SIDE_PX)).astype(kind.pop("dtype", np.uint8))
    for number in (0, 1):
        place = {"origin": (500_000 + SIDE_PX * number, 5_000_000)}
        write_geotiff(tmp_path / f"{number}.tif", values, photometric="MINISWHITE", **place, **kind)
    refused(
        tmp_path / "0.tif", "0.tif is a negative", "MINISWHITE", f"gdal_translate -scale 0 {most} {most} 0 IN OUT.tif"
    )
    (tmp_path / "v.vrt").write_text(vrt("0.tif", relative=True))
    for source in (tmp_path, f"{tmp_path}#bands", f"{tmp_path}/?.tif", tmp_path / "v.vrt"):
        with raises_naming(InputError, "0.tif"):
            Layer.open(source)


@pytest.mark.parametrize(
    ("dtype", "stored"), [("uint16", 2 * 6 * 5 * 2), ("uint8", 2 * 6 * 5), ("float32", 2 * 6 * 5 * 4)]
)
def test_a_raw_file_of_fewer_bytes_than_its_pixels_take_is_refused(tmp_path, dtype, stored):
    path = tmp_path / "a.bil"
    with rasterio.open(path, "w", driver="EHdr", width=5, height=6, count=2, dtype=dtype) as file:
        file.write(np.ones((2, 6, 5), dtype))
    assert path.stat().st_size == stored
    with open_raster(path) as file:
        assert file.shape == (6, 5)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=rf"a\.bil has {stored - 1} bytes, its header names {stored}: the file is truncated"
    ):
        open_raster(path)


def test_pixels_of_single_bits_take_an_eighth_of_a_byte(tmp_path):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", width=16, height=6, count=3, dtype="uint8", NBITS=1
    ) as made:
        made.write(np.ones((3, 6, 16), np.uint8))
    with open_raster(tmp_path / "a.tif") as file:
        assert rasters._stored_bytes(file) == 3 * 6 * 16 // 8


def test_tables_of_crss_of_another_installation_are_named_before_any_work(tmp_path):
    write_tif(tmp_path / "a.tif")
    (tmp_path / "proj").mkdir()  # as of an older PROJ: without a table that this one reads
    code = "import sys; from deepnets4eo.formats.rasters import open_raster; open_raster(sys.argv[1])"
    environment = os.environ | {"PROJ_DATA": str(tmp_path / "proj")}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.tif"], env=environment, capture_output=True, text=True, timeout=100
    )
    message = done.stderr.strip().splitlines()[-1]
    assert f"PROJ_DATA={tmp_path / 'proj'} in the environment" in message
    assert "Unset PROJ_DATA and PROJ_LIB where they name the files of another installation" in message
