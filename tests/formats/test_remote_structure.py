"""Pictures at an address are turned as they state, by a few ranges of their bytes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from deepnets4eo.formats.remote_file import RANGE_BYTES, RemoteFile
from deepnets4eo.rasters import Layer

COLOURS = np.random.default_rng(0).integers(0, 255, (90, 270, 3)).astype(np.uint8)  # some 70 kB: more than one range


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address and the folder of a server that gives ranges."""
    folder = tmp_path_factory.mktemp("served")
    server = Path(__file__).with_name("range_server.py")
    with subprocess.Popen([sys.executable, str(server), str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", folder
        process.terminate()


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_turned_picture_at_an_address_is_read_as_viewers_show_it(
    served: tuple[str, Path], suffix: str, orientation: int
) -> None:
    url, folder = served
    exif = Image.Exif()
    exif[0x0112] = orientation
    name = f"{suffix}-{orientation}.{suffix}"
    Image.fromarray(COLOURS).save(
        folder / name, exif=exif, **({"quality": 100, "subsampling": 0} if suffix == "jpg" else {})
    )
    with Image.open(folder / name) as picture:
        upright = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    layer = Layer.open(f"{url}/{name}")
    assert (layer.declared.orientation, layer.shape) == (orientation, upright.shape[:2])
    assert np.abs(np.moveaxis(layer.read()[0], 0, -1).astype(int) - upright).max() <= 1


def test_a_remote_file_reads_any_part_by_ranges(served: tuple[str, Path]) -> None:
    url, folder = served
    content = np.random.default_rng(1).bytes(2 * RANGE_BYTES + 10)
    (folder / "a.bin").write_bytes(content)
    file = RemoteFile(f"{url}/a.bin")
    for start, size in ((0, 16), (RANGE_BYTES - 3, 7), (2 * RANGE_BYTES + 4, 6)):
        file.seek(start)
        assert file.read(size) == content[start : start + size]
        assert file.tell() == start + size


def test_a_server_without_ranges_is_refused(server) -> None:
    (server.folder / "a.bin").write_bytes(b"abc")
    with pytest.raises(OSError, match="ranges"):
        RemoteFile(f"{server.url}/a.bin").read(2)
