"""What is no test: a script that another interpreter runs, one that has QGIS."""

collect_ignore = ["open_in_qgis.py"]
