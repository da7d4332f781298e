"""Errors that are no mistakes of the package."""


class UserError(Exception):
    """A mistake in what the user gave: the message says what was found, where, and what to do about it."""


class InterruptedTraining(Exception):
    """A signal asked training to stop; `signal` is its number. What was trained is in the last checkpoint."""

    def __init__(self, signal: int) -> None:
        super().__init__(f"stopped by signal {signal}")
        self.signal = signal
