"""What determines a run: its settings, and the net, pictures and folder that they name."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alexnet_raw import atomic, checkpoint, data, layer_file, net_data, recipes
from alexnet_raw.layer_file import LayerFileError
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.parallel import ALONE, Ranks

PAPER = {"epochs": 90, "batch_size": 128}
PLAIN = {"mirror": False, "colour_noise": "none"}  # pictures as they are
SUITED = {  # what suits packaged nets, where it differs from the defaults
    "alexnet-mini": {"epochs": 10, "batch_size": 32},
    "cifar10": {"epochs": 30, **PLAIN},
    "cifar10-quick": {"epochs": 60, "batch_size": 64, "schedule": "file", **PLAIN},
    "cifar10-lrn": {"epochs": 30, **PLAIN},
}
EMBEDDED = "the embedded Fashion-MNIST"


@dataclass(frozen=True)
class Settings:
    """What determines a run, besides the pictures. Kept in its checkpoints.

    None means: whatever suits the net; `resolved` fills it in.
    """

    net: str = "alexnet-mini"  # a packaged net, or a layer-definition file
    params: str | None = None  # the layer-parameter file of such a file
    data: str | None = None  # a folder; None is the embedded Fashion-MNIST
    crop: int | None = None  # width and height of the net's input; None: as its file says
    recipe: str | None = None  # one of recipes.RECIPES, which brings its own net
    differences: tuple[str, ...] = ()  # of recipes.DIFFERENCES, those of that recipe
    size: int | None = None  # side that pictures are prepared to; None: as its file says, or 8/7 crop
    mirror: bool | None = None  # mirror images in training; None: as suits the data
    colour_noise: str | None = None  # one of data.NOISES; None: as suits the data
    noise_until: float | None = None  # the part of the run that has colour noise; None: all
    shared_crops: int | None = None  # pictures in a row that share a crop and a mirror; None: 1
    init_from: str | None = None  # a run or checkpoint, of which the net takes the layers that fit
    outputs: int | str | None = None  # of the last layer; "auto": as many as the data has classes
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None  # the largest rate of any weights; None: as the parameter file says
    scale_lr: str | None = None  # "linear" or "sqrt": how rates grow with the batch size; None: not
    rates_for: int | None = None  # the batch size that the file's rates are for; None: the net's own
    schedule: str | None = None  # "file": as the parameter file says; "plateau": see plateau.py
    precision: str = "fp32"  # of products, one of device.PRECISIONS
    seed: int = 1
    tune: bool = False  # time the algorithms of convolutions and keep to the fastest: tuner.py
    graphs: bool = True  # record steps as CUDA graphs, on a GPU; changes no bit
    save_every: int = 1  # epochs
    save_minutes: float = 15.0  # between checkpoints within an epoch
    keep: int = 0  # checkpoints of past epochs, besides the newest and the best
    tensorboard: bool = False  # write event files
    show_weights: bool = False  # print the mean sizes of weights and updates after each epoch

    def resolved(self, spec: NetSpec, suited: dict[str, Any] | None = None) -> Settings:
        """With all that is still None as it suits the net, and absolute paths.

        A file of constant rates means the paper's plateau schedule.
        """
        scheduled = any(rate.schedule.kind != "default" for rate in weight_rates(spec))
        defaults = {
            **PAPER,
            "noise_until": 1.0,
            "shared_crops": 1,
            "size": spec.picture_size or data.picture_size(input_shape(spec)[1]),
            "schedule": "file" if scheduled else "plateau",
            **(suited or {}),
        }
        defaults["rates_for"] = defaults["batch_size"]
        if self.lr is not None and self.scale_lr is not None:
            raise ValueError(f"--lr {self.lr:g} is the rate for any batch size: leave --scale-lr out")
        missing = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        path = self.data and str(Path(self.data).expanduser().resolve())
        init_from = self.init_from and str(checkpoint.locate(self.init_from).absolute())
        settings = replace(self, data=path, init_from=init_from, **missing)
        if settings.size < (crop := input_shape(spec)[1]):
            raise ValueError(
                f"--size {settings.size}: net {spec.name} sees {crop} x {crop} pixels of the prepared "
                f"pictures; give {crop} or more"
            )
        return settings

    @property
    def batch_scale(self) -> float:
        """What --scale-lr multiplies all rates by."""
        if self.scale_lr is None:
            return 1.0
        times = self.batch_size / self.rates_for
        return times if self.scale_lr == "linear" else math.sqrt(times)

    def augmentation(self, source: data.Source) -> data.Augmentation:
        """How the training pictures are varied: as suits them, unless settings say otherwise."""
        augmentation = replace(source.augmentation, shared_crops=self.shared_crops)
        if self.mirror is not None:
            augmentation = replace(augmentation, flip=self.mirror)
        if self.colour_noise is not None:
            augmentation = replace(augmentation, noise=self.colour_noise)
        if self.noise_until < 1:
            last = math.ceil(self.noise_until * self.epochs)
            augmentation = replace(augmentation, noise_epochs=last)
        return augmentation


def weight_rates(spec: NetSpec) -> list:
    """The learning rates of all weights (not biases) that learn."""
    shapes = spec.shapes(input_shape(spec))
    parameters = (
        parameter
        for layer in spec
        for parameter in layer.parameters([shapes[name] for name in layer.inputs])
    )
    rates = [p.rate for p in parameters if p.name.startswith("weights") and p.rate.eps > 0]
    if not rates:
        raise LayerFileError(
            f"net {spec.name}: no layer has a learning rate (epsW) above 0, so nothing would learn"
        )
    return rates


def input_shape(spec: NetSpec) -> tuple[int, int, int]:
    """(channels, height, width) of the net's input; sources bring three channels."""
    if spec.crop is None:
        raise spec.pictures.error(
            "crop",
            "missing: give the width and height of the net's input, as --crop 224 or as crop=224 here",
        )
    if spec.channels not in (None, 3):
        raise LayerFileError(
            f"net {spec.name}: its first layer reads {spec.channels} channels, but pictures have 3 "
            "(grey ones three equal ones): write channels=3 there"
        )
    return (3, spec.crop, spec.crop)


def load_spec(net: str, params: str | None = None, crop: int | None = None) -> NetSpec:
    """The packaged net of that name, or the one of a pair of layer files, for pictures of that size."""
    if params is not None:
        if net in layer_file.packaged() and not Path(net).exists():
            raise ValueError(
                f"--params {params}: net {net} has its own; name the layer-definition file that these "
                "go with, as --net FILE"
            )
        spec = layer_file.load(net, params)
    elif net not in layer_file.packaged() and (net.endswith(".cfg") or "/" in net):
        raise ValueError(f"{net} needs its layer-parameter file: give it with --params FILE")
    else:
        spec = layer_file.load_packaged(net)
    return spec.with_crop(crop) if crop else spec


def chosen_net(settings: Settings) -> tuple[NetSpec, Settings]:
    """The net that settings name, and the settings with all that it decides."""
    if settings.recipe:
        spec, suited = recipes.build(settings.recipe, settings.differences)
        spec = spec.with_crop(settings.crop) if settings.crop else spec
    else:
        spec = load_spec(settings.net, settings.params, settings.crop)
        spec = net_data.plant(spec, settings.data)
        suited = SUITED.get(settings.net, {})
    return spec, settings.resolved(spec, suited)


def with_outputs(spec: NetSpec, wish: int | str | None, classes: int) -> NetSpec:
    """The net with enough outputs for the classes: its own, if they suffice and no others asked."""
    if wish is None:
        wish = max(classes, spec.classes or 0)
    outputs = classes if wish == "auto" else int(wish)
    if outputs < classes:
        raise ValueError(
            f"--classes {outputs}: the data has {classes} classes; give at least as many, or auto"
        )
    return spec if outputs == spec.classes else spec.with_classes(outputs)


def open_sources(
    path: str | None, size: int, classes: list[str] | None = None, ranks: Ranks = ALONE
) -> tuple[data.Source, data.Source | None]:
    """Training and validation pictures (None where there are none), prepared to size x size."""
    train = data.open(path, "train", size=size, classes=classes, ranks=ranks)
    try:
        return train, data.open(path, "val", size=size, classes=train.classes, ranks=ranks)
    except data.NoValidationPictures:
        return train, None


def new_folder(wish: Path | None, name: str) -> Path:
    """A folder for a new run that holds none yet: the one wished for, or runs/NAME[-N]."""
    if wish is None:
        wish, number = Path("runs") / name, 1
        while wish.exists():
            number += 1
            wish = Path("runs") / f"{name}-{number}"
    atomic.check_folder("--output", wish, wish)
    if (wish / checkpoint.FILE_NAME).exists():
        raise ValueError(
            f"{wish} holds a run already: go on with it (--resume {wish}), or choose another "
            "folder with --output"
        )
    return wish


def new_checkpoint(wish: Path) -> Path:
    """The file for the checkpoints of a new run, if it can be written and replaces nothing."""
    if wish.exists():
        what = "is a folder; give a file name" if wish.is_dir() else "exists already; give another name"
        raise ValueError(f"--checkpoint {wish}: that {what}")
    atomic.check_folder("--checkpoint", wish, wish.parent)
    return wish
