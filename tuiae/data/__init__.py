"""Datasets: registry, download, import, the prepared cache, and what a run selects of them."""
