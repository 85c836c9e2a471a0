"""Names of the layers of a flood scene: the dates, and what is known of the ground."""

from __future__ import annotations

POST, PRE = "post", "pre_"  # dates before are numbered
FIRST = f"{PRE}1"
PERMANENT, DRAINAGE = "permanent_water", "above_drainage"
