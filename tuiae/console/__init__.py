"""The commands on a terminal without a dashboard: progress, tables, JSON."""
