"""Training steps: this project's own for BatchTopK, and SAELens' for every architecture it has."""
