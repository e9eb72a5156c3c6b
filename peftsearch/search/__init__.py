"""The bilevel search: weights on one split, gates on another, always under the price."""
