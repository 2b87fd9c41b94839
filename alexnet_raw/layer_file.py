"""cuda-convnet's two files for a network, from text to a `NetSpec`.

The definition file has one section per layer, in order; `inputs=` names earlier layers. The
parameter file has a section for each layer with learning rates or other numbers.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from alexnet_raw.ini import Keys, LayerFileError, read_ini
from alexnet_raw.layers import TYPES, Layer
from alexnet_raw.layers.neuron import detached
from alexnet_raw.net_spec import NetSpec, check_gradients, check_links, unread
from alexnet_raw.neuron import IDENT

__all__ = ["LayerFileError", "load", "load_packaged", "packaged", "parse"]

DEFINITION, PARAMETERS = ".layers.cfg", ".params.cfg"
NETS = resources.files("alexnet_raw") / "nets"


def load(definition: str | Path, parameters: str | Path) -> NetSpec:
    """Read a net from its two files. LayerFileError names file, section and key."""
    texts = []
    for path, what in ((definition, "layer definition"), (parameters, "layer parameter")):
        try:
            texts.append(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as e:
            reason = getattr(e, "strerror", None) or "not a text file"
            raise LayerFileError(f"{path}: cannot read the {what} file: {reason}") from None
    name = Path(definition).name.removesuffix(".cfg").removesuffix(".layers")
    return parse(*texts, name, files=(str(definition), str(parameters)))


def packaged() -> list[str]:
    """Names of the nets that come with the package."""
    files = NETS.iterdir()
    names = (file.name for file in files if file.name.endswith(DEFINITION))
    return sorted(name.removesuffix(DEFINITION) for name in names)


def load_packaged(name: str) -> NetSpec:
    """Read a net that comes with the package, e.g. `alexnet`."""
    if name not in packaged():
        raise LayerFileError(f"no packaged net {name!r}; there are {', '.join(packaged())}")
    files = (name + DEFINITION, name + PARAMETERS)
    return parse(*((NETS / file).read_text("utf-8") for file in files), name, files=files)


def parse(definition: str, parameters: str, name: str, files: tuple[str, str] | None = None) -> NetSpec:
    """Make a net from the texts of its two files; `files` are the names used in errors."""
    definition_file, parameter_file = files or (name + DEFINITION, name + PARAMETERS)
    notes: list[str] = []
    sections = read_ini(definition, definition_file, notes=notes)
    settings = read_ini(parameters, parameter_file, notes=notes)
    if not sections:
        raise LayerFileError(f"{definition_file}: no layers; give each its [section]")
    layers, outlets = [], {}
    for section, values in sections.items():
        keys = Keys(definition_file, section, values)
        params = Keys(parameter_file, section, settings.get(section))
        layer = _read_layer(keys, params)
        notes += keys.finish() + params.finish()
        layer.inputs = [outlets.get(name, name) for name in layer.inputs]
        layers.append(layer)
        if layer.neuron != IDENT and layer.neuron.kind not in layer.fuses:
            # As in cuda-convnet: the neuron becomes a layer, and all readers read that.
            outlets[section] = f"{section}_neuron"
            while outlets[section] in sections:
                outlets[section] += "_"
            layers.append(detached(layer, outlets[section]))
    for section in settings:
        if section not in sections:
            notes.append(
                f"{parameter_file} [{section}] is ignored: {definition_file} has no such layer"
            )
    check_links(layers)
    check_gradients(layers)
    notes += unread(layers)
    return NetSpec(name, tuple(layers), definition, parameters, tuple(notes))


def _read_layer(keys: Keys, params: Keys) -> Layer:
    """The layer of one section."""
    kind = keys.text("type")
    if kind not in TYPES:
        raise keys.error("type", f"{kind!r} is not supported; supported: {', '.join(sorted(TYPES))}")
    return TYPES[kind](keys, params)
