"""A run's weights in memory, to be asked: what does it make of this image, this noise, this code."""
