"""The published works: their claims, the results here, and the report."""
