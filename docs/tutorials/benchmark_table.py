# %% [markdown]
# # A benchmark table
#
# Published figures are comparable with ours only under the same protocol. Here three recipes are trained on the same synthetic
# scenes (SYNTHETIC), scored on another one, and written as one table.

# %%
import tempfile
from pathlib import Path

from IPython.display import Image, Markdown

from deepnets4eo.benchmark import (
    BenchmarkScenes,
    Row,
    contact_sheet,
    markdown,
    run_rows,
)
from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.synthetic import City

folder = Path(tempfile.mkdtemp())


def scene(seed: int) -> dict[str, str]:
    """Writes one synthetic city and returns the paths of its layers."""
    city = City(seed, 256).write(folder / f"city{seed}")
    return {
        "image": str(city / "pre.tif"),
        "dsm": str(city / "dsm_pre.tif"),
        "labels": str(city / "labels.tif"),
    }


scenes = BenchmarkScenes(train={"city1": scene(1), "city2": scene(2)}, test={"city9": scene(9)})

# %% [markdown]
# A **row** is a recipe under the name that it has in the published table. A row that is finished is read from disk, not run
# again.

# %%
rows = [
    Row("RGB/SVM", "baselines/rgb-svm"),
    Row("RGBd/SVM", "baselines/rgbd-svm"),
    Row("random forest", "baselines/random-forest", ("estimator.trees=20",)),
]
legend = Legend.load("minicity")
outcomes = list(run_rows(rows, scenes, legend, folder / "rows"))

# %% [markdown]
# The published figures of the Data Fusion Contest 2015 stand in the dataset's card. They are of a real place with other
# classes and not comparable with figures of a synthetic one.

# %%
published = DatasetCard.load("dfc2015").published
table = markdown(outcomes, legend.names, published, "Ours: the miniature city (SYNTHETIC, one seed)")
Markdown(table)

# %%
sheet = contact_sheet(outcomes, scenes.test, legend, folder / "sheet.png", title="SYNTHETIC")
Image(sheet)
