"""Which L0 should a sparse autoencoder have? Training sweeps, decoder metrics and their reading."""

__version__ = "0.1.0"
