"""Runs that somebody's own training loop writes: `tuiae.track`."""
