"""Damage jobs given as paths and words: planned, foreseen, run, divided among workers, and written again."""
