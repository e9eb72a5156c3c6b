"""Backbone families, one file each: which sites a transformers model has."""
