"""Evidence per building: what two images, heights and footprints say about damage, without any trained weights."""
