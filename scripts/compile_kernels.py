"""Compile the loops of numba once, so that tests and jobs find them compiled: `python scripts/compile_kernels.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Call each kind of loop on small arrays; what is compiled is kept beside the sources."""
    sys.path += [str(ROOT / "experiments"), str(ROOT / "tests")]
    from small_world_plan import small_plan
    from world.pair import render_pair
    from world.style import WorldStyle

    from deepnets4eo.change import diffusion
    from deepnets4eo.floods import lee_sigma_filter, refined_lee_filter

    render_pair(5, small_plan(88.0, 4), style=WorldStyle.load("suburb"), size_px=128, gsd_m=0.5, margin_px=24)
    power = np.random.default_rng(0).gamma(4.4, 0.2, (64, 64)).astype(np.float32)
    refined_lee_filter(power, 4.4)
    lee_sigma_filter(power, 4.4)
    diffusion.COMPILED_VALUES = 0
    diffusion.guided_anisotropic_diffusion(power[None], [power[None]], diffusion=diffusion.Diffusion(1))


if __name__ == "__main__":
    main()
