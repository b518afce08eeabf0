"""What a study costs, from its sizes and stated throughputs."""
