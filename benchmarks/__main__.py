"""`make bench`: every benchmark, or those that are named: `python -m benchmarks venue decode`.

Figures are ratios taken in one run, since machines are noisy. Nothing here fails on a number; read the table.
"""

import importlib
import pkgutil
import sys

import benchmarks

names = sys.argv[1:] or [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")]
for name in names:
    print(f"\n== {name}")
    importlib.import_module(f"benchmarks.{name}").main()
