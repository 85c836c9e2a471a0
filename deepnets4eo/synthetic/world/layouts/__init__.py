"""How places are laid out: one module a kind of settlement, each a function that adds objects to a plan."""
