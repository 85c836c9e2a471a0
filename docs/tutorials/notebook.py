# %% [markdown]
# # In a notebook
#
# Layers, scenes, legends, runs and damage maps print in a few lines, are shown by a notebook as a small table, and draw
# themselves with `plot()`. The data are those of the **miniature city** (SYNTHETIC).

# %%
import tempfile
from pathlib import Path

from IPython.display import display

from deepnets4eo import Layer, Legend, Scene
from deepnets4eo.damage import assess
from deepnets4eo.synthetic import City

folder = Path(tempfile.mkdtemp())
City(seed=5, size_px=512).write(folder)
post = Layer.open(folder / "post.tif")
print(repr(post).replace(str(folder), "…"))

# %% [markdown]
# `plot()` reads at reduced resolution (at most 1000 pixels a side, `max_px` changes it), so that a scene of any size is drawn at
# once. Bands named red, green and blue are used, else the first three; each is stretched between its 2nd and 98th percentile.

# %%
axes = post.plot()
# %% [markdown]
# `bands` chooses others: one is drawn in grey, three as red, green and blue. A surface model:

# %%
axes = Layer.open(folder / "dsm_pre.tif").plot(bands=[1])
# %% [markdown]
# A legend shows its classes in their colours.

# %%
legend = Legend.load("minicity")
display(legend)

# %% [markdown]
# Labels are drawn in these colours, with a key of the classes in the picture. A raster that `predict` wrote contains its legend;
# for others, give it. A scene draws its layers side by side.

# %%
scene = Scene.open(image=folder / "pre.tif", labels=folder / "labels.tif")
axes = scene.plot(legend=legend)
# %% [markdown]
# A damage map: counts by grade, and outlines in the colours of their grades over the image. Without an image they are filled.

# %%
result = assess(folder / "pre.tif", post, folder / "footprints.gpkg")
display(result)

# %%
axes = result.plot(post)
# %% [markdown]
# `plot()` returns the Axes of matplotlib: change them, draw on them, or save the figure. Here one block, with the probabilities.

# %%
axes = result.plot(post, max_px=2000)
left, top = axes.get_xlim()[0], axes.get_ylim()[1]
axes.set(xlim=(left, left + 60), ylim=(top - 60, top))
for row in result.buildings.dropna(subset="damage_prob").cx[left : left + 60, top - 60 : top].itertuples():
    center = row.geometry.centroid
    axes.annotate(f"{row.damage_prob:.2f}", (center.x, center.y), color="white", ha="center", clip_on=True)
axes.figure.savefig(folder / "block.png", dpi=150)

# %% [markdown]
# For a map to zoom and click, open the report page that `result.save("damage", post=post)` writes, or use
# [geopandas](https://geopandas.org): `result.buildings.explore("damage")` where folium is installed.
