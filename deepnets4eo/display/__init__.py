"""What an object shows of itself: a short text, a small table in a notebook, and a figure.

Takes facts, colours and small arrays; reads no file. Used by layers, scenes, legends, runs and damage maps."""
