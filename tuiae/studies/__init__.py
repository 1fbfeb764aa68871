"""Many runs as one question: sweeps and comparisons. They start workers and read run directories."""
