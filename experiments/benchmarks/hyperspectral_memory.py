"""Peak memory of training and prediction on a cube that is larger than the memory: 5,000² pixels of 200 bands, 10 GB.

Run: python experiments/benchmarks/hyperspectral_memory.py [--side 5000 --bands 200 --methods hu hamida random-forest lda --rows 500 1000]
The cube is a made-up ENVI file (interleaved by line) in a temporary folder, which takes its whole size on the disk: patches of
ground of six spectra with noise, some of them labelled fields. Each training, and each prediction of the first rows at full
width, once for each number of `--rows`, runs in a process of its own; prints its peak resident set, seconds of wall clock and
processor, beside the size of the cube. `--rows 5000` predicts all of it, from file to file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

FIELDS, FIELD_PX, CLASSES, NOISE_LINES = 60, 24, 6, 7
HEADER = "ENVI\nsamples = {side}\nlines = {lines}\nbands = {bands}\nheader offset = 0\nfile type = ENVI Standard\ndata type = 12\ninterleave = bil\nbyte order = 0\n"
QUICK = ["train.epochs=2", "estimator.trees=50", "data.num_workers=0"]


def make_cube(folder: Path, side: int, bands: int, rows: Sequence[int]) -> None:
    """cube.img, whose first rows are also first-ROWS.img, and labels.npy."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, CLASSES, (-(-side // FIELD_PX), -(-side // FIELD_PX)))
    spectra = rng.uniform(1500, 6000, (bands, CLASSES)).astype(np.int16)
    noise = rng.normal(0, 300, (NOISE_LINES, bands, side)).astype(np.int16)
    with (folder / "cube.img").open("wb") as file:
        for line in range(side):
            materials = np.repeat(ground[line // FIELD_PX], FIELD_PX)[:side]
            file.write((spectra[:, materials] + noise[line % NOISE_LINES]).astype("<u2").tobytes())
    labels = np.zeros((side, side), np.uint8)
    for number in rng.choice((side // FIELD_PX) ** 2, FIELDS, replace=False):
        row, col = divmod(int(number), side // FIELD_PX)
        area = np.s_[row * FIELD_PX : (row + 1) * FIELD_PX, col * FIELD_PX : (col + 1) * FIELD_PX]
        labels[area] = ground[row, col] + 1
    np.save(folder / "labels.npy", labels)
    for name, lines in (("cube", side), *((f"first-{lines}", lines) for lines in rows)):
        if name != "cube":
            os.link(folder / "cube.img", folder / f"{name}.img")
        (folder / f"{name}.hdr").write_text(HEADER.format(side=side, lines=lines, bands=bands))
    classes = [{"value": k + 1, "name": f"class {k + 1}", "color": [40 * k, 0, 99]} for k in range(CLASSES)]
    (folder / "legend.yaml").write_text(str({"name": "fields", "void_values": [0], "classes": classes}))


def train_here(folder: Path, method: str) -> None:
    """One training in this process."""
    from deepnets4eo import train

    layers = f"data.layers={{image: {folder}/cube.img, labels: {folder}/labels.npy}}"
    train(f"hyperspectral/{method}", folder / method, overrides=[layers, f"legend={folder}/legend.yaml", *QUICK])


def predict_here(folder: Path, method: str, memory: str, rows: str) -> None:
    """One prediction of the first rows in this process."""
    from deepnets4eo.cli.options import memory_bytes
    from deepnets4eo.prediction import PredictOptions, predict

    options = PredictOptions(memory_bytes=memory_bytes(memory), threads=1)
    predict(folder / method, folder / f"first-{rows}.img", folder / f"{method}-{rows}.tif", options)


def run_child(job: str, folder: Path, method: str, memory: str, rows: int = 0) -> str:
    """Peak resident set in MB and seconds of a child process, in words. rows : of a prediction."""
    started = time.perf_counter()
    command = [sys.executable, __file__, "--child", job, str(folder), method, str(rows), "--memory", memory]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise SystemExit(f"{job} with {method} failed")
    wall, busy = time.perf_counter() - started, usage.ru_utime + usage.ru_stime
    return f"peak {usage.ru_maxrss * 1024 / 1e6:6.0f} MB, {wall:5.0f} s ({busy:.0f} s of processor)"


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=5000)
    parser.add_argument("--bands", type=int, default=200)
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 1000], help="of the predictions")
    parser.add_argument("--methods", nargs="+", default=["hu", "hamida", "random-forest", "lda"])
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        job, folder, method, first = arguments.child
        if job == "train":
            train_here(Path(folder), method)
        else:
            predict_here(Path(folder), method, arguments.memory, first)
        return
    rows = sorted({min(number, arguments.side) for number in arguments.rows})
    size = 2 * arguments.side**2 * arguments.bands
    print(f"cube of {arguments.side}² px and {arguments.bands} bands: {size / 1e6:,.0f} MB; {FIELDS} labelled fields")
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        make_cube(Path(folder), arguments.side, arguments.bands, rows)
        print(f"written in {time.process_time() - started:.0f} s of processor", flush=True)
        for method in arguments.methods:
            print(f"{method:14} train   {run_child('train', Path(folder), method, arguments.memory)}", flush=True)
            for number in rows:
                text = run_child("predict", Path(folder), method, arguments.memory, number)
                print(f"{method:14} predict {text}, {number} of {arguments.side} rows", flush=True)


if __name__ == "__main__":
    main()
