"""The one error that is the user's to mend."""


class UserError(Exception):
    """The user's input or machine is not as needed; the message says where and what to do next.

    The command line prints the message alone, without a traceback, and exits with code 2. Everything
    else that escapes is our fault and exits with code 1.
    """
