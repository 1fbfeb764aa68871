"""Drawing: pure functions from what was read to rich Text, tested as plain strings; never Textual."""
