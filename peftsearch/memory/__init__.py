"""Memory: what a step needs, counted before it runs, and what to do when there is not enough."""
