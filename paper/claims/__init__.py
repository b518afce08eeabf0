"""The claims of the paper: what each says, how it is tested, and what became of it."""
