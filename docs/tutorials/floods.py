# %% [markdown]
# # Flood mapping, and which houses stand in water
#
# A radar pair first, then an optical pair with footprints, then the damage map of the same place. Everything here is made up
# (SYNTHETIC), so that the truth is known and nothing has to be downloaded. Real files take the same steps.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from deepnets4eo import Layer
from deepnets4eo.damage import Settings, assess
from deepnets4eo.floods import map_flood
from deepnets4eo.grid import whole
from deepnets4eo.rasters import CogWriter
from deepnets4eo.synthetic import City, Event

folder = Path(tempfile.mkdtemp())
plain = GeoBox((512, 512), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32632")  # pixels of 10 m
rng = np.random.default_rng(0)


def write(name, values, grid, bands):
    """A file of some bands; returns its path."""
    with CogWriter(folder / name, grid, count=len(values), band_names=bands, dtype="float32") as writer:
        writer.write(whole(grid), values)
    return folder / name


# %% [markdown]
# ## Radar
#
# Calm water sends the pulse away and is dark: −22 dB in VV and −29 dB in VH here, land −9 and −16 dB. Speckle of 4.4 looks lies over
# both. A river was there before; the fields next to it are flooded.

# %%
river, fields = np.zeros((2, 512, 512), bool)
river[:, 80:140], fields[120:420, 140:330] = True, True


def radar(water):
    """VV and VH in dB, of 4.4 looks."""
    speckle = 10 * np.log10(rng.gamma(4.4, 1 / 4.4, (2, 512, 512)))
    return (np.where(water, -22.0, -9.0) + np.array([0.0, -7.0])[:, None, None] + speckle).astype(np.float32)


before = write("s1_before.tif", radar(river), plain, ["VV", "VH"])
after = write("s1_after.tif", radar(river | fields), plain, ["VV", "VH"])
flood = map_flood([before], after, folder / "radar")
print(flood.headline(), "(SYNTHETIC)")

figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
for axis, path, title in zip(axes, (before, after), ("VV before", "VV after"), strict=False):
    Layer.open(path).plot(axis, bands=[1]).set_title(f"{title} (SYNTHETIC)")
Layer.open(flood.paths["flood.tif"]).plot(axes[2]).set_title("permanent water and flood (SYNTHETIC)")
plt.show()

# %% [markdown]
# On the command line this is `deepnets4eo flood s1_before.tif s1_after.tif --out flood`. The speckle is filtered, and the threshold
# of each polarisation comes from the parts of the scene that hold water and land. Beside `flood.tif` lie the probability of water,
# polygons with their areas, and a page that opens offline.

# %%
flood.polygons.drop(columns="geometry").head(3).round(2)

# %% [markdown]
# ## Houses in the water
#
# A flooded roof looks whole. What counts is new water in the ring from 2 to 12 m around the house. Here no house is
# damaged, and the lower half of the town is under brown water, up to the walls.

# %%
whole_houses = Event(kind="tornado", shift_px=(0, 0), rotation_deg=0, damage_shares=(1.0, 0.0, 0.0, 0.0))
city = City(seed=4, size_px=512, event=whole_houses)
houses = city.footprints()
walls = rasterize([(shape, 1) for shape in houses.geometry], city.grid.shape, transform=city.grid.affine) > 0
image = np.array(city.post.image)
flooded = (np.arange(512)[:, None] >= 256) & ~walls
brown = np.array([120.0, 105, 80, 60])[: len(image), None, None] + rng.normal(0, 1, image.shape)
post = Layer.open(np.where(flooded, brown, image).clip(0, 255).astype(np.uint8), grid=city.post.grid)
pre = Layer.open(city.pre.image, grid=city.grid)
water = write("flood.tif", flooded[None].astype("float32"), city.grid, ["flood"])
damage = assess(pre, post, houses, settings=Settings(network=False, water=str(water)))
print(damage.headline(), "(SYNTHETIC)")
print({name: damage.inundation[name] for name in ("inundated", "structure", "together")})

# %%
figure, axes = plt.subplots(1, 2, figsize=(13, 6), layout="constrained")
post.plot(axes[0]).set_title("after (SYNTHETIC)")
colours = damage.buildings["inundated"].map({"yes": "tab:cyan", "no": "tab:grey", "not known": "white"})
damage.buildings.plot(ax=axes[1], color=colours, edgecolor="black")
axes[1].set_title("houses in new water (SYNTHETIC)")
plt.show()

# %% [markdown]
# Houses in new water count as damaged, as in the grades of xBD; `Settings(inundation="possibly-damaged")` follows Copernicus EMS, and
# `"shown"` leaves the grades to the structure. `water` takes a map of the flood, such as one from radar; without it the job looks for large
# surfaces of new water in the images themselves.

# %%
columns = ["damage", "damage_prob", "reason", "inundated", "ev_water_ring_share"]
damage.buildings[damage.buildings["inundated"] == "yes"][columns].head(5).round(2)
