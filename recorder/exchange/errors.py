"""The one error of the exchange: something the person who started it can put right."""


class ExchangeError(Exception):
    """One line that names the place and the remedy; the command line shows it and ends with 2."""
