"""How often is the answer right? A suite of worlds whose truth is known, swept and read."""
