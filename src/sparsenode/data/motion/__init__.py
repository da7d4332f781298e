"""Skeletons and motions as they are recorded, and where joints are."""
