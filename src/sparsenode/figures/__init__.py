"""Figures: each module draws one from tidy tables and writes it as PDF and PNG."""
