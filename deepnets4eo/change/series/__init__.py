"""Series of dates: one stack on one grid, features of cells, rare changes ranked, breaks of seasonal curves by pixel."""
