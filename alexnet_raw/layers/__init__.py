"""The layer types: one file each, found by the `type=` that it registers.

To add a type, write a file here with a subclass of `Layer` decorated by `@register("name")`:
`__init__` reads its keys, `output_shape` checks its inputs, `forward` and `backward` call ops.
"""

from __future__ import annotations

import importlib
import pkgutil

from alexnet_raw.layers.base import TYPES, Layer, Shape, Site, register

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["TYPES", "Layer", "Shape", "Site", "register"]
