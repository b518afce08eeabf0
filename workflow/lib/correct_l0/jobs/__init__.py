"""What every job needs around its work."""
