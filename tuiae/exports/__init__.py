"""What leaves: a run's network and its curves in the formats of others, and a page about runs."""
