"""An exchange of our own: it speaks HashKey's protocol over a market we know to the last trade.

Written from the protocol reference alone. It shares no code with the recorder's decoders, capture or
journal, because it is what they are checked against.
"""

from recorder.exchange.app import Exchange, Options, serve, simulate
from recorder.exchange.errors import ExchangeError
from recorder.exchange.fault_random import random_script
from recorder.exchange.faults import Script

__all__ = ["Exchange", "ExchangeError", "Options", "Script", "random_script", "serve", "simulate"]
