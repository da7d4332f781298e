"""Dynamical systems that studies of the field measure with, one file a system."""
