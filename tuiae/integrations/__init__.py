"""Callbacks for other trainers, and old runs of other trackers."""
