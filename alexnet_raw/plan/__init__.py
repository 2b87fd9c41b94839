"""How long a training step takes on many ranks: a model, to be read before machines are paid for.

cluster.py   what sums and exchanges between ranks cost
costs.py     what each layer of a net costs on one device
measure.py   the same, measured on this machine
step.py      both together: a step, data parallel or hybrid
table.py     a plan by ranks, as `alexnet-raw plan` prints it

Times are in seconds, sizes in bytes, bandwidths in bytes per second and direction.
"""
