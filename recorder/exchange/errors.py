"""The one error of the exchange: something the person who started it can put right."""

from recorder.errors import ExchangeError

__all__ = ["ExchangeError"]
