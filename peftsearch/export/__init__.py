"""Exporters, one file each: write a trained architecture for another trainer, and verify it."""
