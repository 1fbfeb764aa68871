"""Drawing: pure functions from arrays and numbers to rich Text, tested as plain strings."""
