"""The one exception for what a user can mend."""


class UserError(Exception):
    """Says what was found, what was expected and how to mend it; the command line prints it and exits with 2."""
