"""Train all members of a method at once: what changes, one step, when to stop, checkpoints, and the loop."""
