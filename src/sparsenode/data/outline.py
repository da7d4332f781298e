"""What can be said of a dataset before it is made: its names and its size, so that settings can be checked by them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outline:
    """Names and size of a dataset; None where only the made dataset will tell.

    `features` are its variables, or where these are chosen by their values those that they are chosen from, and
    `feature_count` is then about how many will be chosen. `groups` are those of its training trajectories, `priors` the
    prior networks that come with it. Of the training data, `trajectories` is their number, `observations` those of the
    longest one, and `duration` how long the longest one takes, in the dataset's unit of time.
    """

    features: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    priors: tuple[str, ...] | None = None
    trajectories: int | None = None
    observations: int | None = None
    duration: float | None = None
    feature_count: int | None = None
