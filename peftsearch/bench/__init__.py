"""The tabular benchmark: small spaces trained exhaustively, and strategies that search them."""
