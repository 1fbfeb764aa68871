"""Questions to a run's weights in memory: what it makes of an image, a noise, a code."""
