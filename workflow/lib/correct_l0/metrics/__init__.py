"""What is measured on trained SAEs."""
