"""Strict readers of tables and h5ad files that people and programs write."""
