"""From raw files to the one file of trajectories that every later stage reads."""
