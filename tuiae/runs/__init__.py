"""The run directory: the only thing two processes share."""
