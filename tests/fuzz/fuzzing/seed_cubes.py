"""Sound cubes of every format that the package reads, as seeds."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import rasterio
import scipy.io

from fuzzing.seed import Seed, image_array, label_array, make_folder

BANDS = 20
WAVELENGTHS_NM = np.linspace(400, 2300, BANDS)


def make_cubes(root: Path) -> dict[str, list[Seed]]:
    """Cubes with labels and wavelengths: MATLAB 5 and 7.3, HDF5, NumPy, ENVI."""
    cube = image_array(5, BANDS).transpose(1, 2, 0).astype(np.uint16) * 40
    arrays = {"cube": cube, "gt": label_array(), "wavelengths": WAVELENGTHS_NM}
    folder = root / "cube"
    scipy.io.savemat(make_folder(folder / "mat5") / "a.mat", arrays, do_compression=True)
    scipy.io.savemat(make_folder(folder / "mat5-plain") / "a.mat", {**arrays, "info": {"a": 1}})
    np.savez(make_folder(folder / "npz") / "a.npz", **arrays)
    np.savez_compressed(make_folder(folder / "npz-packed") / "a.npz", **arrays)
    np.save(make_folder(folder / "npy") / "a.npy", cube)
    with h5py.File(make_folder(folder / "h5") / "a.h5", "w") as file:
        for name, array in arrays.items():
            file.create_dataset(f"group/{name}", data=array, compression="gzip", chunks=True)
    _write_mat73(make_folder(folder / "mat73") / "a.mat", arrays)
    profile = {"driver": "ENVI", "count": BANDS, "height": cube.shape[0], "width": cube.shape[1], "dtype": "uint16"}
    with rasterio.open(make_folder(folder / "envi") / "a.img", "w", **profile) as raster:
        raster.write(cube.transpose(2, 0, 1))
    header = folder / "envi" / "a.hdr"
    header.write_text(f"{header.read_text()}wavelength = {{{', '.join(map(str, WAVELENGTHS_NM))}}}\n")
    mains = {"npy": "a.npy", "npz": "a.npz", "npz-packed": "a.npz", "h5": "a.h5", "envi": "a.hdr"}
    return {
        "cube": [Seed(one, mains.get(one.name, "a.mat")) for one in sorted(folder.iterdir())],
    }


def _write_mat73(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """As MATLAB writes it: text before the signature, axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array.T, compression="gzip").attrs["MATLAB_class"] = np.bytes_(
                array.dtype.name
            )
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
