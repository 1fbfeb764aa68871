"""Many runs as one question: sweeps, comparisons, reproductions. They start workers and read run directories."""
