"""What an object shows of itself: a short text, a small table in a notebook, and a figure; reads no file."""
