"""The two files of a net as sections that can be changed: recipes and experiments are made so.

The result is again the text of two layer files, so that whatever was made can be read, kept in a
checkpoint, and trained anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from alexnet_raw import layer_file
from alexnet_raw.ini import read_ini
from alexnet_raw.net_spec import NetSpec

Section = dict[str, str]  # key -> value, in file order

# Comma lists with a value for each input, or a single one; `channels` follows from the inputs.
PER_INPUT = (
    *("filters", "filterSize", "padding", "stride", "groups", "randSparse", "filterChannels"),
    *("initW", "initWFunc", "weightSource", "partialSum", "coeffs"),
    *("epsW", "momW", "wc", "wball", "wcNormMin", "wcNormMax"),
)
# How keys are written here that have capitals; files may have them in any case.
SPELLED = (
    *("dataIdx", "sizeX", "outputsX", "initB", "initBFunc", "initCFunc", "sharedBiases"),
    *("epsB", "momB", "schedW", "schedB", "minDiv", "quantF", "quantB"),
    *PER_INPUT,
)


class NetText:
    """A net to be changed. Layers that are no longer read by others go with `remove`.

    Attributes:
        definition: layer -> its section of the definition file, in order.
        parameters: layer -> its section of the parameter file.
    """

    def __init__(self, spec: NetSpec):
        self.definition = _sections(spec.definition, spec.name)
        self.parameters = _sections(spec.parameters, spec.name)
        if spec.crop is not None:  # it may be from a flag
            self.definition[spec.pictures.name]["crop"] = str(spec.crop)

    def spec(self, name: str, remark: str) -> NetSpec:
        """The net as it is now. remark: a line that begins both files and says where they are from."""
        texts = (_render(sections, remark) for sections in (self.definition, self.parameters))
        return layer_file.parse(*texts, name)

    def layers(self, *types: str) -> list[str]:
        """The names of all layers of these types, in order."""
        return [name for name, keys in self.definition.items() if keys["type"] in types]

    def inputs(self, layer: str) -> list[str]:
        text = self.definition[layer].get("inputs", "")
        return [name.strip() for name in text.split(",") if name.strip()]

    def readers(self, layer: str) -> list[str]:
        return [name for name in self.definition if layer in self.inputs(name)]

    def towers(self, stem: str) -> list[str]:
        """The layers called stem, or stem and one more letter: conv3a and conv3b for conv3."""
        return [name for name in self.definition if name == stem or name[:-1] == stem]

    def insert_after(self, layer: str, name: str, keys: Section, parameters: Section) -> None:
        """A new layer between `layer` and all that read it."""
        readers = self.readers(layer)
        sections = list(self.definition.items())
        place = list(self.definition).index(layer) + 1
        section = {"type": keys["type"], "inputs": layer, **keys}
        self.definition = dict([*sections[:place], (name, section), *sections[place:]])
        self.parameters[name] = parameters
        for reader in readers:
            self._replace_input(reader, layer, [name])

    def remove(self, layer: str) -> None:
        """Take a layer out; its readers read its inputs instead."""
        for reader in self.readers(layer):
            self._replace_input(reader, layer, self.inputs(layer))
        del self.definition[layer]
        self.parameters.pop(layer, None)

    def keep_inputs(self, layer: str, inputs: list[str]) -> None:
        """Let a layer read only these of its inputs, each once."""
        before = self.inputs(layer)
        self._set_inputs(layer, [(name, before.index(name)) for name in inputs])

    def _replace_input(self, layer: str, old: str, new: list[str]) -> None:
        """Let a layer read others in place of one of its inputs, each once."""
        inputs = []
        for i, name in enumerate(self.inputs(layer)):
            inputs += [(n, i) for n in (new if name == old else [name])]
        self._set_inputs(layer, inputs)

    def _set_inputs(self, layer: str, inputs: list[tuple[str, int]]) -> None:
        """inputs: (name, the number of the input so far, whose values it has)."""
        count = len(self.inputs(layer))
        places: dict[str, int] = {}
        for name, i in inputs:
            places.setdefault(name, i)
        self.definition[layer]["inputs"] = ",".join(places)
        for keys in (self.definition[layer], self.parameters.get(layer, {})):
            for key in filter(keys.__contains__, PER_INPUT):
                values = [value.strip() for value in keys[key].split(",")]
                if len(values) >= count:  # else it is one for all; lists may end in a comma
                    keys[key] = ",".join(values[i] for i in places.values())
        self.count_channels()

    def each(self, layers: list[str]) -> Iterator[tuple[Section, Section]]:
        """The two sections of each of these layers; {} where it has no parameters."""
        for layer in layers:
            yield self.definition[layer], self.parameters.get(layer, {})

    def count_channels(self) -> None:
        """Bring `channels` up to date in all layers that state it."""
        channels: dict[str, int] = {}
        for name, keys in self.definition.items():
            inputs = [channels[i] for i in self.inputs(name)]
            if "channels" in keys:
                keys["channels"] = ",".join(map(str, inputs))
            if keys["type"] in ("conv", "local"):
                groups = int(keys.get("groups", "1").split(",")[0])
                channels[name] = int(keys["filters"].split(",")[0]) * groups
            elif keys["type"] == "fc":
                channels[name] = int(keys["outputs"])
            else:
                channels[name] = inputs[0] if inputs else 3  # of pictures


def _sections(text: str, name: str) -> dict[str, Section]:
    spelled = {key.lower(): key for key in SPELLED}
    sections = read_ini(text, name)
    return {
        name: {spelled.get(key, key): value for key, value in keys.items()}
        for name, keys in sections.items()
    }


def _render(sections: dict[str, Section], remark: str) -> str:
    parts = [f"# {remark}\n"]
    for name, keys in sections.items():
        parts.append(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items()))
    return "\n".join(parts)
