"""Train all members of a method at once: what changes, one step, when to stop, checkpoints, and the loop."""

from sparsenode.training.job import train_members
from sparsenode.training.loop import TrainingResult, train

__all__ = ["TrainingResult", "train", "train_members"]
