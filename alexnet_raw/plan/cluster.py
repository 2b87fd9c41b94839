"""What ranks pay for a sum or an exchange: bytes over a bandwidth, and messages that take a while.

A sum over all (all-reduce) is two halves. The first adds: afterwards each rank has the sum of its own
n-th part (reduce-scatter). The second hands these parts round (all-gather); alone it also hands round
activations, and the first alone sums their gradients. A half over n ranks of arrays of `size` bytes
takes, at the least,

    (n-1)/n * size / bandwidth  +  messages * latency

since each rank must send and receive all but its own part. What comes to all from one rank is received
whole, piece by piece as it is passed on. A ring sends n-1 messages one after the other: P. Patarasuk,
X. Yuan, *Bandwidth optimal all-reduce algorithms for clusters of workstations*, J. Parallel Distrib.
Comput. 69 (2009). Halving the array and the distance each time takes log2(n) of them: R. Thakur,
R. Rabenseifner, W. Gropp, *Optimization of collective communication operations in MPICH*, Int. J. High
Perform. Comput. Appl. 19 (2005), whose time for the additions is part of the bandwidth here.

Ranks of one node are joined by a faster link. There the first half comes first, then each rank does its
part between the nodes, whose ranks share a network, and the second half ends where the first began.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MESSAGES = {"ring": lambda n: n - 1, "halving": lambda n: math.ceil(math.log2(n))}


@dataclass(frozen=True)
class Team:
    """Ranks that sum or exchange together: so many, and so many of them on one node."""

    size: int
    local: int


@dataclass(frozen=True)
class Cluster:
    """Nodes of `per_node` ranks.

    Attributes:
        network, latency: bytes/s into and out of a node, for all of its ranks together; seconds that a
            message takes however short it is.
        link, link_latency: the same into and out of a rank, between ranks of a node.
        algorithm: a key of MESSAGES.
    """

    network: float
    latency: float
    per_node: int = 1
    link: float = math.inf
    link_latency: float = 0.0
    algorithm: str = "ring"

    def everyone(self, ranks: int) -> Team:
        """All ranks, node by node; ValueError where they do not fill their nodes."""
        if ranks > self.per_node and ranks % self.per_node:
            raise ValueError(
                f"{ranks} ranks do not fill nodes of {self.per_node}: give a multiple, or other nodes"
            )
        return Team(ranks, min(ranks, self.per_node))

    def group(self, size: int) -> Team:
        """One of the groups into which all ranks are cut, neighbours."""
        return Team(size, min(size, self.per_node))

    def counterparts(self, ranks: int, group: int) -> Team:
        """The ranks that have the same place in all groups of `group`."""
        local = min(ranks, self.per_node)
        return Team(ranks // group, max(1, local // group))

    def groups(self, ranks: int) -> list[int]:
        """The sizes that groups can have: they fill a node evenly, or fill nodes."""
        local = self.everyone(ranks).local
        sizes = (size for size in range(1, ranks + 1) if ranks % size == 0)
        return [size for size in sizes if local % size == 0 or size % local == 0]

    def half(self, size: float, team: Team) -> float:
        """Seconds of a reduce-scatter or all-gather of `size` bytes; all other teams do it, too."""
        messages = MESSAGES[self.algorithm]
        inside, nodes = team.local, team.size // team.local
        on_the_link = (inside - 1) / inside * size / self.link + messages(inside) * self.link_latency
        teams = self.per_node / inside  # that a node is part of
        over_the_network = (nodes - 1) / nodes * size * teams / self.network
        return on_the_link + over_the_network + messages(nodes) * self.latency

    def broadcast(self, size: float, team: Team) -> float:
        """Seconds in which `size` bytes of a rank of each team come to all of it, or a sum to one."""
        messages = MESSAGES[self.algorithm]
        inside, nodes = team.local, team.size // team.local
        on_the_link = (inside > 1) * size / self.link + messages(inside) * self.link_latency
        over_the_network = (nodes > 1) * size * (self.per_node / inside) / self.network
        return on_the_link + over_the_network + messages(nodes) * self.latency

    def all_reduce(self, size: float, team: Team) -> float:
        """Seconds of a sum over all."""
        return 2 * self.half(size, team)
