"""Training by several processes, ranks, each of which has a share of every batch.

    mpiexec -n 4 alexnet-raw train ...

docs/parallel.md tells how it works. Only `parallel.mpi` imports mpi4py, and `join` only that where a
launcher started several processes.
"""

from .ranks import ALONE, Ranks, RanksError, join, launched

__all__ = ["ALONE", "Ranks", "RanksError", "join", "launched"]
