# %% [markdown]
# # Radar phase: what an earthquake took from the coherence
#
# Three complex radar images of one town, two before an event and one after. Where nothing moved, the phase of two dates agrees; where
# a roof fell, it does not. Everything here is made up (SYNTHETIC): speckle is drawn with a known coherence, so the result can be checked.

# %%
import matplotlib.pyplot as plt
import numpy as np
from rasterio.features import rasterize

from deepnets4eo.interferometry import interferometric_coherence
from deepnets4eo.synthetic import City, Event

city = City(seed=4, size_px=384, event=Event(kind="quake", shift_px=(0, 0), rotation_deg=0))
houses = city.buildings
fallen = houses["damage"].isin(["major-damage", "destroyed"])
numbers = rasterize(
    zip(houses.geometry, range(1, len(houses) + 1), strict=True), city.grid.shape, transform=city.grid.affine
)
print(f"{len(houses)} houses, {fallen.sum()} of them with major damage or destroyed (SYNTHETIC)")

# %% [markdown]
# ## Three images with a known coherence
#
# Ground keeps 0.2 between two dates, roofs 0.8. The event takes seven tenths of the coherence of fallen roofs, and a tenth everywhere,
# as rain does. Each pair also has fringes, those of the flat earth, some four pixels wide.

# %%
rng = np.random.default_rng(0)
before = np.where(numbers > 0, 0.8, 0.2)
of_fallen = np.isin(numbers, 1 + np.flatnonzero(fallen))
across = 0.9 * np.where(of_fallen, 0.3 * before, before)


def speckle():
    """Fully developed speckle of mean power 1."""
    return (rng.standard_normal(numbers.shape) + 1j * rng.standard_normal(numbers.shape)) / np.sqrt(2)


def next_date(image, coherence):
    """An image with this coherence to the one before."""
    return coherence * image + np.sqrt(1 - coherence**2) * speckle()


def with_fringes(image, down, right):
    """The image with a phase that grows by so many cycles per pixel."""
    rows, cols = np.indices(image.shape)
    return (image * np.exp(-2j * np.pi * (down * rows + right * cols))).astype(np.complex64)


first = speckle()
second = next_date(first, before)
third = next_date(second, across)
dates = [with_fringes(first, 0, 0), with_fringes(second, 0.11, -0.24), with_fringes(third, -0.06, 0.2)]

# %% [markdown]
# ## Coherence, free of fringes and of its bias
#
# Averaged as they are, fringes cancel: the plain sample coherence of a 7 × 7 window would be near 0.1 everywhere.

# %%
pair_before = interferometric_coherence(dates[0], dates[1])
pair_across = interferometric_coherence(dates[1], dates[2])
drop = pair_before - pair_across

figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
for axis, image, title in zip(
    axes, (pair_before, pair_across, drop), ("before", "over the event", "drop"), strict=True
):
    axis.imshow(image, vmin=0, vmax=1, cmap="gray")
    axis.set_title(f"coherence, {title} (SYNTHETIC)")
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Per house
#
# The mean drop within each outline. Windows at the walls also see the ground, so small roofs show less of their drop than the 0.58 that was drawn.

# %%
whole = np.bincount(numbers[np.isfinite(drop)], drop[np.isfinite(drop)], minlength=len(houses) + 1)
pixels = np.bincount(numbers[np.isfinite(drop)], minlength=len(houses) + 1)
houses = houses.assign(drop=(whole / np.maximum(pixels, 1))[1:])
houses.groupby(fallen.map({True: "fallen", False: "standing"}))["drop"].describe()[
    ["count", "mean", "min", "max"]
].round(2)

# %% [markdown]
# With files this is `deepnets4eo layers coherence pre2.slc pre.slc post.slc --out drop.tif`, and then
# `deepnets4eo damage pre.tif post.tif houses.gpkg --evidence coherence_drop=drop.tif --out out`. The card of this evidence was fitted on
# such synthetic speckle, and the damage map states it; no real pair confirms it. See [layers coherence](../howto/verbs/layers.md#layers-coherence).
