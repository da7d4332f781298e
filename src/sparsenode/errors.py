"""Errors that a user of the package can cause and can mend."""


class UserError(Exception):
    """A mistake in what the user gave: the message says what was found, where, and what to do about it."""
