"""Errors that are no mistakes of the package."""


class UserError(Exception):
    """A mistake in what the user gave: the message says what was found, where, and what to do about it."""


class InterruptedTrainingError(Exception):
    """A signal asked training to stop; `signal` is its number, and `saved` tells whether a checkpoint was written."""

    def __init__(self, signal: int, *, saved: bool) -> None:
        after = "saved: the same command goes on from here" if saved else "nothing of the last iterations was saved"
        super().__init__(f"stopped by signal {signal}; {after}")
        self.signal = signal
        self.saved = saved
