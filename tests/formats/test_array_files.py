"""Files of arrays: the numbers that other programs wrote, the array that was named, and no more of it than asked."""

import io
import logging
import struct
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.formats import hdf5, list_arrays, mat5, open_array, parse_reference

RNG = np.random.default_rng(0)
CUBE = RNG.integers(0, 4000, (5, 7, 11)).astype(np.uint16)  # rows, columns, bands
LABELS = RNG.integers(0, 4, (5, 7)).astype(np.uint8)
WAVELENGTHS_UM = np.linspace(0.4, 2.5, 11)


def read_all(text: str | Path, **how: bool) -> np.ndarray:
    image = open_array(parse_reference(str(text)), **how)
    count, height, width = image.shape
    return image.read(range(count), slice(0, height), slice(0, width))


def write_mat73(path: Path, **arrays: np.ndarray) -> Path:
    """As MATLAB writes it: a block of text before the signature, axes reversed, the class as an attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            data = file.create_dataset(name, data=array.T, chunks=True)
            data.attrs["MATLAB_class"] = np.bytes_(array.dtype.name)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_of_matlab_5_are_what_scipy_reads(dtype: str, packed: bool, tmp_path: Path) -> None:
    array = (RNG.random((4, 3, 6)) * 100).astype(dtype)
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"first": LABELS, "a_long_name_of_a_cube": array}, do_compression=packed)
    assert np.array_equal(read_all(path), scipy.io.loadmat(path)["a_long_name_of_a_cube"].transpose(2, 0, 1))
    assert np.array_equal(read_all(f"{path}#first")[0], scipy.io.loadmat(path)["first"])


@pytest.mark.parametrize("packed", [False, True])
def test_fields_of_structures_of_matlab_5_are_arrays(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scene = {"labels": LABELS, "empty": [], "deeper": {"wavelengths": WAVELENGTHS_UM}, "name": "a" * 5000}
    pair = np.array([(LABELS,), (LABELS,)], [("x", object)])
    scipy.io.savemat(path, {"hsi": {"Data": CUBE, "scene": scene}, "pair": pair}, do_compression=packed)
    image = open_array(parse_reference(str(path)))
    assert np.array_equal(read_all(path), CUBE.transpose(2, 0, 1))
    assert image.reference.endswith("a.mat#hsi/Data:hwb")
    assert image.wavelengths_nm == pytest.approx(WAVELENGTHS_UM * 1000)
    assert np.array_equal(read_all(f"{path}#hsi/scene/labels")[0], LABELS)
    inner = {f"hsi/scene/{key}" for key in (*scene, "deeper/wavelengths")}
    assert {info.name for info in list_arrays(path)} == {"hsi", "hsi/Data", "hsi/scene", "pair"} | inner


def test_structures_that_end_too_early_are_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"hsi": {"Data": CUBE}})
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<I", 14), content.index(b"Data")) + 4  # the bytes of the field, behind its type
    for announced in (1 << 20, 0xFFFFFFF8):
        content[at : at + 4] = struct.pack("<I", announced)
        path.write_bytes(content)
        with pytest.raises(InputError, match="ends within its field Data.*Write it again"):
            list_arrays(path)


@pytest.mark.parametrize("write", ["mat5", "mat73", "npz", "packed npz", "h5"])
def test_each_format_holds_the_same_cube_labels_and_wavelengths(write: str, tmp_path: Path) -> None:
    arrays = {"cube": CUBE, "gt": LABELS, "wavelengths": WAVELENGTHS_UM}
    path = tmp_path / {"mat5": "a.mat", "mat73": "a.mat", "h5": "a.h5"}.get(write, "a.npz")
    if write == "mat5":
        scipy.io.savemat(path, arrays)
    elif write == "mat73":
        write_mat73(path, **arrays)
    elif write == "h5":
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[f"group/{name}"] = array
    else:
        (np.savez if write == "npz" else np.savez_compressed)(path, **arrays)
    image = open_array(parse_reference(str(path)))
    assert np.array_equal(read_all(path), CUBE.transpose(2, 0, 1))
    assert image.wavelengths_nm == pytest.approx(WAVELENGTHS_UM * 1000)
    assert np.array_equal(read_all(path, labels=True)[0], LABELS)
    part = image.read([8, 3], slice(1, 4), slice(2, 3))
    assert np.array_equal(part, CUBE[1:4, 2:3, [8, 3]].transpose(2, 0, 1))


def test_texts_and_empty_arrays_of_matlab_73_are_listed_as_what_they_are_and_not_read(tmp_path: Path) -> None:
    """MATLAB keeps a text as uint16 and of an empty array only its size, both in data of whole numbers."""
    path = write_mat73(tmp_path / "a.mat", cube=CUBE, text=np.array([[104, 105]], np.uint16), nothing=np.zeros((1, 2), np.uint64))  # fmt: skip
    with h5py.File(path, "r+") as file:
        file["text"].attrs["MATLAB_class"] = np.bytes_(b"char")
        file["nothing"].attrs["MATLAB_class"] = np.bytes_(b"double")
        file["nothing"].attrs["MATLAB_empty"] = np.uint8(1)
    listed = {info.name: (info.shape, info.dtype, info.kind) for info in list_arrays(path)}
    assert listed == {
        "cube": (CUBE.shape, np.dtype(np.uint16), "numbers"), "text": ((1, 2), None, "char"), "nothing": ((1, 2), None, "double"),
    }  # fmt: skip
    assert np.array_equal(read_all(path), CUBE.transpose(2, 0, 1))
    with raises_naming(InputError, "nothing", "double"):
        read_all(f"{path}#nothing")


def test_a_plain_array_is_mapped_in_either_order_of_memory(tmp_path: Path) -> None:
    for order in "CF":
        np.save(tmp_path / "a.npy", np.asarray(CUBE, order=order))
        image = open_array(parse_reference(str(tmp_path / "a.npy")))
        assert isinstance(image.array, np.memmap)
        assert image.axes == "bhw", "5 is the shortest axis, wrongly here"
        assert np.array_equal(read_all(f"{tmp_path / 'a.npy'}#:hwb"), CUBE.transpose(2, 0, 1))


def test_what_is_guessed_is_said_once_with_the_remedy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    np.save(tmp_path / "cube.npy", np.zeros((40, 30, 8), np.uint8))
    np.save(tmp_path / "square.npy", np.zeros((12, 12, 30), np.uint8))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            open_array(parse_reference(str(tmp_path / "cube.npy")))
            assert open_array(parse_reference(str(tmp_path / "square.npy"))).axes == "hwb"
    assert len(caplog.messages) == 1
    assert "read as rows, columns, bands: the shortest axis is read as the bands" in caplog.messages[0]
    assert "cube.npy#cube:bhw" in caplog.messages[0]


def test_a_list_of_pixels_is_unfolded_column_by_column(tmp_path: Path) -> None:
    pixels = np.stack([CUBE[row, col] for col in range(7) for row in range(5)], axis=1)  # (bands, pixels)
    sizes = {"nRow": 5.0, "nCol": 7.0, "nBand": 11.0, "A": RNG.random((4, 35))}
    scipy.io.savemat(tmp_path / "a.mat", {"Y": pixels, **sizes})
    assert np.array_equal(read_all(tmp_path / "a.mat"), CUBE.transpose(2, 0, 1))
    assert read_all(f"{tmp_path / 'a.mat'}#A").shape == (4, 5, 7)
    scipy.io.savemat(tmp_path / "b.mat", {"Y": pixels, **sizes, "nBand": 0.0})  # which states no sizes
    assert read_all(f"{tmp_path / 'b.mat'}#Y").shape == (1, 11, 35)


def test_of_several_arrays_one_has_to_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(
        path, {"hsi": CUBE, "rgb": CUBE[..., :3], "gt": LABELS, "info": {"a": 1}, "text": "abc", "z": CUBE * 1j}
    )
    with raises_naming(InputError, "5", "7", "11", "uint16"):
        read_all(path)
    assert read_all(path, labels=True).shape == (1, 5, 7)
    with raises_naming(InputError, "'hsl'", "'hsi'"):
        read_all(f"{path}#hsl")
    for name in ("info", "text", "z"):
        with pytest.raises(InputError, match="is no image: expected two or three axes of numbers"):
            read_all(f"{path}#{name}")
    with raises_naming(InputError, "'bxw'"):
        read_all(f"{path}#hsi:bxw")
    with raises_naming(InputError, "3", "'hw'", "2"):
        read_all(f"{path}#hsi:hw")


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}] * 4).reshape(2, 2), allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=np.array([{"a": 1}] * 4).reshape(2, 2))
    for name in ("a.npy", "a.npz"):
        with raises_naming(InputError, "2 object"):
            read_all(tmp_path / name)


def test_arrays_that_lie_in_other_files_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4 * 5 * 6))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["cube"] = np.zeros((4, 5, 6), np.uint8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("outside", (4, 5, 6), "u1", external=[(str(secret), 0, 120)])
        layout = h5py.VirtualLayout((4, 5, 6), "u1")
        layout[:] = h5py.VirtualSource(tmp_path / "b.h5", "cube", (4, 5, 6))
        file.create_virtual_dataset("virtual", layout)
        file["linked"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "cube")
    for name in ("outside", "virtual"):
        with pytest.raises(InputError, match="lies in other files, which are not opened"):
            read_all(f"{tmp_path / 'a.h5'}#{name}")
    with raises_naming(InputError, "'linked'"):
        read_all(f"{tmp_path / 'a.h5'}#linked")


def test_archives_that_unpack_to_too_much_are_refused_unread(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 10, 1 << 9, 136)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        file.write(header.getvalue())
        for _ in range(68):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="unpacks to"):
        read_all(tmp_path / "a.npz")
    body = _mat_body((1 << 10, 1 << 9, 136), bytes(68 << 20))
    (tmp_path / "a.mat").write_bytes(_mat_header() + struct.pack("<2I", 15, len(body)) + body)
    with pytest.raises(InputError, match="unpacks to"):
        read_all(tmp_path / "a.mat")


def test_chunks_of_hdf5_that_no_honest_packing_makes_so_small_are_refused_unread(tmp_path: Path) -> None:
    side = 4352  # 72 MiB, of zeros but for one
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, pack in (("packed", {"compression": "gzip"}), ("plain", {}), ("in_rows", {"compression": "gzip"})):
            chunks = (1, side, 4) if name == "in_rows" else (side, side, 4)
            file.create_dataset(name, (side, side, 4), "u1", chunks=chunks, **pack)[0, 0, 0] = 1
    with raises_naming(InputError, "75", "759", "616", "h5repack", "CHUNK"):
        open_array(parse_reference(f"{tmp_path / 'a.h5'}#packed:hwb"))
    for name in ("plain", "in_rows"):
        image = open_array(parse_reference(f"{tmp_path / 'a.h5'}#{name}:hwb"))
        assert image.read([0], slice(0, 1), slice(0, 2)).tolist() == [[[1, 0]]]


def test_an_array_of_hdf5_that_is_hardly_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for side in (1 << 20, 1 << 15):
            file.create_dataset(f"side_{side}", (side, side, 3), "u1", chunks=(64, 64, 3))
        file.create_dataset(
            "packed", data=np.zeros((4096, 4096, 3), np.uint8), chunks=(1024, 1024, 3), compression="gzip"
        )
    for name in ("side_1048576", "side_32768"):
        if name == "side_32768":
            open_array(parse_reference(f"{tmp_path / 'a.h5'}#{name}:hwb"))
            monkeypatch.setattr(hdf5, "MAX_DECLARED_BYTES", 1 << 25)
        with raises_naming(InputError, "side_", "0", "2", "000"):
            open_array(parse_reference(f"{tmp_path / 'a.h5'}#{name}:hwb"))
    assert open_array(parse_reference(f"{tmp_path / 'a.h5'}#packed:hwb")).shape == (3, 4096, 4096)  # zeros, 1 in 1000


def test_sizes_that_announce_more_than_there_is_are_refused(tmp_path: Path) -> None:
    body = _mat_body((1000, 1000, 100), bytes(1000))
    (tmp_path / "a.mat").write_bytes(_mat_header() + struct.pack("<2I", 15, len(body)) + body)
    with pytest.raises(InputError, match="fewer numbers than its size"):
        read_all(tmp_path / "a.mat")
    np.save(tmp_path / "a.npy", CUBE)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-10])
    with raises_naming(InputError, "a.npy"):
        read_all(tmp_path / "a.npy")


def test_what_is_not_packed_is_mapped_not_read(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"cube": CUBE})
    np.savez(tmp_path / "a.npz", cube=CUBE)
    for path in (tmp_path / "a.mat", tmp_path / "a.npz"):
        assert isinstance(open_array(parse_reference(str(path))).array, np.memmap)
    assert [str(info) for info in list_arrays(tmp_path / "a.mat")] == ["cube (5 × 7 × 11 uint16)"]


def test_big_endian_matlab_files_are_read(tmp_path: Path) -> None:
    values = np.arange(2 * 3 * 4, dtype=">f4").reshape((2, 3, 4), order="F")
    body = _element(6, struct.pack(">2I", 7, 0), ">") + _element(5, struct.pack(">3i", 2, 3, 4), ">")
    body += _element(1, b"cube", ">")
    body += _element(7, values.tobytes(order="F"), ">")
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + _element(14, body, ">"))
    assert np.array_equal(scipy.io.loadmat(path)["cube"], values)
    assert np.array_equal(read_all(path), values.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "values", [np.array([[7, 8, 250]], "u1"), np.array([[-300], [2]], "i2"), np.array([[1.5]], "f4")]
)
def test_numbers_that_lie_within_their_tag_are_read(tmp_path: Path, values: np.ndarray) -> None:
    scipy.io.savemat(
        tmp_path / "a.mat", {"x": values, "longer_name": np.arange(40).reshape(5, 8)}
    )  # names lie there as well
    for name, expected in (("x", values), ("longer_name", np.arange(40).reshape(5, 8))):
        assert np.array_equal(mat5.open_array(tmp_path / "a.mat", name), expected)
    assert [(info.name, info.shape, info.dtype) for info in list_arrays(tmp_path / "a.mat")][0] == (
        "x",
        values.shape,
        values.dtype,
    )


def _mat_header() -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def _element(kind: int, content: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}2I", kind, len(content)) + content + bytes(-len(content) % 8)


def _mat_body(shape: tuple[int, int, int], content: bytes) -> bytes:
    body = _element(6, struct.pack("<2I", 9, 0)) + _element(5, struct.pack("<3i", *shape)) + _element(1, b"cube")
    return zlib.compress(_element(14, body + _element(2, content)))


def test_a_matlab_file_is_known_by_its_header_alone() -> None:
    assert mat5.is_mat5(_mat_header())
    assert not mat5.is_mat5(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
