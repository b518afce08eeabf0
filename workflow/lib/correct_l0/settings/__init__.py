"""What sections of a configuration are made of."""
