# %% [markdown]
# # With xarray, lazily
#
# For those whose images are arrays of xarray, in memory or in blocks of dask. `import deepnets4eo.xarray` gives them the accessor `.eo`, whose results are arrays
# on the same grid. The data are those of the **miniature city** (SYNTHETIC).

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import display

import deepnets4eo.xarray  # noqa: F401  adds .eo
from deepnets4eo import Layer, Scene
from deepnets4eo.change import ChangeOptions
from deepnets4eo.registration import register
from deepnets4eo.synthetic import City

folder = Path(tempfile.mkdtemp())
City(seed=5, size_px=384).write(folder)
before, after = (Scene.open(image=folder / f"{date}.tif").to_xarray().image for date in ("pre", "post"))
display(after)

# %% [markdown]
# ## Labels, block by block
#
# The image comes in blocks, and so do the labels: nothing is computed before it is asked for. `rioxarray.open_rasterio("photo.tif", chunks=2048)` gives such an
# image from a file.

# %%
labels = after.chunk(y=192, x=192).eo.predict("landcover")
display(labels)

# %%
part = labels.isel(y=slice(0, 192), x=slice(0, 192)).compute()
print("classes seen in one block:", sorted(set(part.values.ravel().tolist())), "of", labels.flag_meanings)

# %% [markdown]
# ## What changed
#
# The later image is registered to the earlier one first; its attributes contain what limits the map.

# %%
found = before.eo.change(after, ChangeOptions(min_area_m2=20))
print("\n".join(found.attrs["findings"]))
figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
found.score.plot(ax=axes[0], cmap="magma", add_labels=False)
axes[0].set(title="score of change (SYNTHETIC)", aspect="equal")
found.change.where(found.change != 255).plot(ax=axes[1], add_labels=False)
axes[1].set(title="change (SYNTHETIC)", aspect="equal")
plt.show()

# %% [markdown]
# `labels.eo.evaluate(reference)` scores labels with the legend that they carry. A registration, a matrix of scores, a run and a damage map are shown as tables:

# %%
display(register(Layer.open(before), Layer.open(after)))
