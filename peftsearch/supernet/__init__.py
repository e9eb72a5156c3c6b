"""The over-parameterised model and its gates: every candidate at every site, masked."""
