"""Images, footprints and settings of a damage job: opened, checked, and laid on each other."""
