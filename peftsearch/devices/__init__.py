"""One search on several devices: slices of a batch, sums over all, and the processes themselves."""
