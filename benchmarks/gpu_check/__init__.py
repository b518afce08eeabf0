"""Does this machine compute the right numbers, and how fast: `make gpu-check`."""
