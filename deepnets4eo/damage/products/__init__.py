"""The files a damage map is handed over in; each is written whole or not at all."""
