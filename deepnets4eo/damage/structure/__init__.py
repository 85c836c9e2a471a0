"""Evidence per building: what two images, heights and footprints show about damage, without any trained weights."""
