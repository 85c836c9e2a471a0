"""Building damage from a pre-event image, a post-event image and footprints."""
