"""The images of both dates: their sensor, colours and ground size, checks of them, their clouds, and the grid that all is measured on."""
