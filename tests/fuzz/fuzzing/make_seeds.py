"""All seeds: files of every kind and runs of every kind."""

from __future__ import annotations

from pathlib import Path

from fuzzing.seed import Seed
from fuzzing.seed_cubes import make_cubes
from fuzzing.seed_files import FILES
from fuzzing.seed_frames import make_frames
from fuzzing.seed_images import make_images
from fuzzing.seed_maps import make_maps
from fuzzing.seed_points import make_points
from fuzzing.seed_runs import make_runs


def make_seeds(root: Path) -> dict[str, list[Seed]]:
    """Every kind of file, written below `root`: kind → seeds."""
    seeds: dict[str, list[Seed]] = {}
    for make in (*FILES, make_images, make_cubes, make_frames, make_points, make_runs, make_maps):
        for kind, of_kind in make(root).items():
            seeds.setdefault(kind, []).extend(of_kind)
    return seeds
