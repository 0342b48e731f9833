"""Training of a run from its options: the training loop, validation, checkpoints, logs and run folders."""
