# %% [markdown]
# # Hyperspectral classification
#
# From a cube of many bands to a map of materials, with honest scores. The cube is that of the **miniature city**: made up
# (SYNTHETIC), so that the truth is known and nothing has to be downloaded. The steps are those of a real cube.

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import Image

from deepnets4eo import Layer, evaluate, predict, train
from deepnets4eo.evaluation import Protocol, Withheld
from deepnets4eo.files import write_yaml
from deepnets4eo.hyperspectral import Cube, report
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.cube import material_legend

folder = Path(tempfile.mkdtemp())
City(seed=3, size_px=320).cube(bands=48).write(folder)
legend = material_legend()
write_yaml(folder / "legend.yaml", legend.to_dict())
cube = Cube.open(folder / "cube_post.tif")
print(cube)

# %% [markdown]
# Real files are opened the same way: `Cube.open("scene.mat#NAME")`, ENVI, HDF5, NumPy, GeoTIFF. Where wavelengths are known, bands
# are chosen by them:

# %%
figure, axes = plt.subplots(1, 3, figsize=(17, 4.6), layout="constrained")
cube.plot(axes[0]).set_title("450, 550, 650 nm (SYNTHETIC)")
cube.plot(axes[1], wavelengths_nm=(2200, 1650, 850)).set_title("850, 1650, 2200 nm (SYNTHETIC)")
Layer.open(folder / "materials_post.tif").plot(axes[2], legend=legend).set_title("reference (SYNTHETIC)")
plt.show()

# %% [markdown]
# ## Train, with ground withheld
#
# Recipes are listed by `deepnets4eo models 'hyperspectral/*'`. The same network, `hyperspectral/hamida` on patches of 5 × 5 pixels,
# is trained twice: with blocks of ground withheld (`folds`), and with single pixels withheld (`random_pixels`), as many published tables are.

# %%
common = [
    f"data.layers={{image: {folder}/cube_post.tif, labels: {folder}/materials_post.tif}}",
    f"legend={folder}/legend.yaml",
]
quick = ["train.epochs=3", "train.optimizer=adam", "train.lr=0.003"]
runs = {
    "LDA, folds": train("hyperspectral/lda", folder / "lda", overrides=common),
    "Hamida, folds": train("hyperspectral/hamida", folder / "folds", overrides=common + quick),
    "Hamida, random pixels": train(
        "hyperspectral/hamida", folder / "random", overrides=[*common, *quick, "data.split=random_pixels"]
    ),
}
for name, run in runs.items():
    scores = json.loads((run / "metrics.json").read_text())
    leakage = scores["protocol"]["leakage"]["share_patch_shows_training_pixel"]
    print(
        f"{name:22} accuracy {scores['overall_accuracy']:.3f}, test patches with training pixels {leakage:.0%} (SYNTHETIC)"
    )

# %% [markdown]
# The random split scores higher, but all of its test patches contain training pixels: that figure says little about other ground.
#
# ## Predict, and score only what was withheld
#
# A map covers the pixels that were learnt from as well. `Withheld.of_run` (on the command line `evaluate --withheld RUN`) leaves them out.

# %%
run = runs["Hamida, folds"]
predict(run, folder / "cube_post.tif", folder / "map.tif")
for name, rules in (("all pixels", Protocol()), ("withheld", Protocol(withheld=Withheld.of_run(run)))):
    scores = evaluate(folder / "map.tif", folder / "materials_post.tif", legend, rules).to_dict()
    print(f"{name:10} accuracy {scores['overall_accuracy']:.3f} over {scores['pixels']:,} pixels (SYNTHETIC)")

# %% [markdown]
# ## The report
#
# One page, `report.html`, that works offline; its figures are next to it. The map, and where was learnt:

# %%
page = report(run, folder / "report")
Image(page.parent / "map_1.png")

# %% [markdown]
# The mean spectra of the classes with their spread; bands that show little lie where water vapour takes the light:

# %%
Image(page.parent / "spectra.png")
