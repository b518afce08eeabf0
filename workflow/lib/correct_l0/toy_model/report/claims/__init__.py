"""The ledger: what the paper says of its toy model, and what the study's tables say of that."""
