"""The published works: what they claim, what came of it here, and the report."""
