"""Peak memory of prediction against the scene's size and the number of classes, each in a process of its own.

Run: python experiments/benchmarks/prediction_memory.py [--sizes 4000 20000 --num-classes 6 60 --network pointwise]
Prints the peak resident set of each, and its ratio to the first. The pointwise network takes next to nothing itself,
so that all other growth is visible; the target is ±10 % of a real one's peak.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from prediction_case import make_scene, make_segmenter


def in_this_process(arguments: argparse.Namespace, scene: Path, out: Path) -> None:
    """One prediction."""
    from deepnets4eo.cli.options import memory_bytes
    from deepnets4eo.prediction import PredictOptions, predict
    from deepnets4eo.tiling import Tiling

    tiling = Tiling(arguments.tile, 32, arguments.overlap)
    segmenter = make_segmenter(arguments.network, arguments.num_classes[0], tiling)
    probabilities = out.with_name("probabilities.tif") if arguments.probabilities else None
    options = PredictOptions(probabilities=probabilities, threads=1, memory_bytes=memory_bytes(arguments.memory))
    result = predict(segmenter, scene, out, options)
    print(f"{result.computed} tiles in {result.seconds:.0f} s", file=sys.stderr)


def peak_mb(arguments: argparse.Namespace, scene: Path, num_classes: int) -> float:
    """Peak resident set of a child process that predicts, in MB."""
    with tempfile.TemporaryDirectory(dir=scene.parent) as folder:
        command = [sys.executable, __file__, "--child", str(scene), str(Path(folder) / "labels.tif")]
        command += ["--num-classes", str(num_classes), "--network", arguments.network, "--memory", arguments.memory]
        command += ["--tile", str(arguments.tile), "--overlap", str(arguments.overlap)]
        command += ["--probabilities"] if arguments.probabilities else []
        child = subprocess.Popen(command)
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"the prediction of {scene.name} with {num_classes} classes failed")
        return usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[4000, 20000])
    parser.add_argument("--num-classes", type=int, nargs="+", default=[6, 60])
    parser.add_argument("--network", default="pointwise")
    parser.add_argument("--tile", type=int, default=576)
    parser.add_argument("--overlap", type=int, default=0)
    parser.add_argument("--probabilities", action="store_true")
    parser.add_argument("--memory", default="4GB")
    parser.add_argument("--child", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        in_this_process(arguments, *arguments.child)
        return
    first = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            scene = make_scene(Path(folder) / f"{size}.tif", size)
            for num_classes in arguments.num_classes:
                peak = peak_mb(arguments, scene, num_classes)
                first = first or peak
                print(f"{size}² px, {num_classes} classes: peak {peak:.0f} MB, ratio {peak / first:.3f}", flush=True)
            scene.unlink()


if __name__ == "__main__":
    main()
