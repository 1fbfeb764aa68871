"""What is special about a terminal: its colours, its characters, its light, and what is sent to it."""
