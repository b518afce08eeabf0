"""From settings to a finished SAE: points in training, checkpoints, and what a point leaves."""
