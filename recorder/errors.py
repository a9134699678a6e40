"""The one hierarchy of errors that people see. Each says what happened, where, and what to do next."""


class RecorderError(Exception):
    """Something the user can mend; the command line prints it as one line and exits with 2."""


class ConfigError(RecorderError):
    """A setting is unknown, of the wrong type, or does not fit."""


class LakeError(RecorderError):
    """The data directory is missing, of another format, or cannot be read or written."""


class BusyError(RecorderError):
    """Another process holds what we need: a second recorder on the same data, a port that is taken."""


class JournalError(RecorderError):
    """The journal cannot be written or is damaged where it must not be."""


class VenueError(RecorderError):
    """The venue refused, or answered with something we cannot use."""


class ExchangeError(RecorderError):
    """The simulated exchange was asked for something it cannot do."""
