"""What the maps of a net are stored as: float32, or bfloat16, which is half the memory to move.

In precision bf16 the operands of all products are rounded to bfloat16, and so they are stored like that
at once, with all that lies between: what the layers put out, and the gradients of it. Weights keep a
float32 master copy, and all arithmetic but the products is float32's. Maps of layers whose ops know
float32 only, costs among them, and what has to have the same dtype as these, remain float32.
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.device import BF16
from alexnet_raw.layers import Layer
from alexnet_raw.layers.data import Data
from alexnet_raw.net_spec import NetSpec


def dtypes(spec: NetSpec, precision: str) -> dict[str, np.dtype]:
    """The dtype of each layer's output; labels aside."""
    stored = _stored_as_bf16(spec) if precision == "bf16" else set()
    return {layer.name: BF16 if layer.name in stored else np.dtype(np.float32) for layer in spec}


def _stored_as_bf16(spec: NetSpec) -> set[str]:
    pictures = spec.pictures.name
    layers = [layer for layer in spec if not isinstance(layer, Data)]
    stored = {layer.name for layer in layers if not (layer.half_forward or layer.half_backward)}
    if all(layer.learns for layer in layers if pictures in layer.inputs):
        stored.add(pictures)  # converted once, when they come
    count = None
    while count != len(stored):  # what one layer needs in float32 may bind others
        count = len(stored)
        for layer in layers:
            inputs = {name for name in layer.inputs if not spec[name].is_labels}
            if not _can_store(layer, inputs, stored):
                stored -= {layer.name, *inputs}
    return stored


def _can_store(layer: Layer, inputs: set[str], stored: set[str]) -> bool:
    """Whether the layer can work with its maps stored like this."""
    maps = {layer.name, *inputs}
    if not layer.takes_bf16:
        return not maps & stored
    if layer.mixes_dtypes:
        return True
    if layer.learns:  # products: operands of one dtype, and for a cost they may put out float32
        return inputs <= stored or not maps & stored
    return maps <= stored or not maps & stored
