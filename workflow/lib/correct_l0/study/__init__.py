"""What is asked: the configuration, its points, paths and groups."""
