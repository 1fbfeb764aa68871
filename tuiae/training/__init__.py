"""The worker process: the loop, evaluation, checkpoints."""
