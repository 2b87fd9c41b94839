"""A net together with what its pictures need: the mean image and the names of the classes."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_raw import checkpoint, data, layer_file, ops
from alexnet_raw.checkpoint import Checkpoint, CheckpointError
from alexnet_raw.cut_network import CutNetwork
from alexnet_raw.device import Array, Device
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network
from alexnet_raw.parallel.hybrid import Hybrid
from alexnet_raw.run_settings import input_shape
from alexnet_raw.uploads import Uploads

DATA_PREFIX = "data."  # of the statistics among the tensors of a checkpoint


class Model:
    """Batches of uint8 pictures in, probabilities of named classes out.

    ``classes`` may name fewer classes than the net has outputs: the others were never trained.
    ``names`` are the classes with words beside them, where the training pictures came with some.
    ``content_size`` is the side of what a prepared picture shows; around it is black (a Source's).
    """

    def __init__(
        self, net: Network, classes: list[str], statistics: data.Statistics, content_size: int
    ):
        self.net, self.classes, self.statistics = net, classes, statistics
        self.names = classes
        self.content_size = content_size
        self.crop = input_shape(net.spec)[1]
        self.picture_size = statistics.mean_image.shape[1]
        self._mean = net.input_device.upload(statistics.mean_image)
        self.uploads = Uploads(net.input_device, net.spec.takes_targets)
        self._inputs: dict[int, Array] = {}  # by the number of pictures
        self._answers: dict[tuple[int, ...], Array] = {}  # labels or targets, by their shape

    @property
    def spec(self) -> NetSpec:
        return self.net.spec

    @classmethod
    def build(
        cls,
        spec: NetSpec,
        devices: list[Device],
        batch_size: int,
        seed: int,
        classes: list[str],
        statistics: data.Statistics,
        content_size: int,
        initialise: bool = True,
        hybrid: Hybrid | None = None,
    ) -> Model:
        """A new net with its first weights (not initialise: zeros, for weights to be loaded).

        hybrid: cuts it over a team of ranks.
        """
        make = partial(CutNetwork, hybrid) if hybrid else Network
        shape = input_shape(spec)
        net = make(spec, devices, batch_size, seed, input_shape=shape, initialise=initialise)
        return cls(net, classes, statistics, content_size)

    @classmethod
    def load(cls, path: str | Path, devices: list[Device], batch_size: int) -> Model:
        """The model in a checkpoint, for use: its velocities are left out. Raises CheckpointError."""
        return cls.restore(checkpoint.load(path), checkpoint.locate(path), devices, batch_size)

    @classmethod
    def restore(
        cls,
        saved: Checkpoint,
        path: Path,
        devices: list[Device],
        batch_size: int,
        for_training: bool = False,
        hybrid: Hybrid | None = None,
    ) -> Model:
        """As `load`, from a checkpoint that was read already; ``path`` is used in errors.

        for_training: with velocities, to be trained on; hybrid: by a team of ranks that share it.
        """
        try:
            about = saved.metadata["net"]
            spec = layer_file.parse(about["definition"], about["parameters"], about["name"])
            spec = spec.with_crop(saved.metadata["input"]["crop"])
            if spec.classes != about["outputs"]:
                spec = spec.with_classes(about["outputs"])
            statistics = _statistics_from(saved.tensors)
            classes, seed = saved.metadata["classes"], saved.metadata["seed"]
            content_size = saved.metadata["input"]["content"]
        except KeyError as error:
            raise CheckpointError(f"{path} lacks {error}: it is damaged; use another") from None
        model = cls.build(
            spec,
            devices,
            batch_size,
            seed,
            classes,
            statistics,
            content_size,
            initialise=False,
            hybrid=hybrid,
        )
        state = {
            name: array for name, array in saved.tensors.items() if not name.startswith(DATA_PREFIX)
        }
        model.names = saved.metadata.get("names", classes)
        try:
            model.net.load_state(state, velocities=for_training)
        except ValueError as error:
            raise CheckpointError(f"{path} does not fit its own net: {error}") from error
        return model

    def tensors(self) -> dict[str, np.ndarray]:
        """What a checkpoint needs besides `metadata`."""
        statistics = {
            DATA_PREFIX + field.name: np.asarray(getattr(self.statistics, field.name))
            for field in fields(self.statistics)
        }
        return {**self.net.state(), **statistics}

    def metadata(self) -> dict[str, Any]:
        """The model's part of a checkpoint's JSON."""
        net = {
            "name": self.spec.name,
            "outputs": self.spec.classes,
            "definition": self.spec.definition,
            "parameters": self.spec.parameters,
        }
        height, width = self.statistics.mean_image.shape[1:]
        preparation = {
            "picture": [height, width],
            "content": self.content_size,
            "crop": self.crop,
            "mean": "subtracted: tensor data.mean_image (channels, height, width)",
        }
        names = {"classes": self.classes, "names": self.names}
        return {"net": net, **names, "input": preparation, "seed": self.net.seed}

    def read(self, path: str) -> data.Batch:
        """A batch of the one picture in a file. Raises ValueError naming the file."""
        try:
            content = data.prepare_file(path, self.content_size)
        except data.PictureError as error:
            raise ValueError(f"{path}: {error}") from error
        side = self.picture_size
        border = side - self.content_size
        margins = (border // 2, border - border // 2)
        picture = np.pad(content, (margins, margins, (0, 0)))[None]
        offset = np.full((1, 2), (side - self.crop) // 2, np.int32)
        label, index = np.zeros(1, np.int32), np.zeros(1, np.int64)
        flip, noise = np.zeros(1, np.uint8), np.zeros((1, 3), np.float32)
        return data.Batch(0, picture, label, offset, flip, noise, index)

    def upload(self, batch: data.Batch) -> tuple[Array, Array]:
        """The net's input (channels, crop, crop, pictures) and the labels, on its input device.

        In place of labels the batch's targets (outputs, pictures), where it has and the net takes some.
        Batches of one size come in the same arrays, wherever their parts were uploaded to.
        """
        device, count = self.net.input_device, len(batch)
        if count not in self._inputs:
            channels = batch.pictures.shape[3]
            self._inputs[count] = device.empty(
                (channels, self.crop, self.crop, count), self.net.input_dtype
            )
        images, sent = self._inputs[count], self.uploads.receive(batch)
        ops.augment(
            images,
            sent["pictures"],
            sent["offsets"],
            sent["flips"],
            self._mean,
            sent["noise"],
            scale=batch.scale,
        )
        given = sent.get("targets", sent["labels"])
        if given.shape not in self._answers:
            self._answers[given.shape] = device.empty(given.shape, given.dtype)
        answers = self._answers[given.shape]
        answers.copy_from(given)
        return images, answers

    def no_answers(self, batch: data.Batch) -> Array:
        """The second of `upload` for a batch without pictures."""
        if self.uploads.sends_targets(batch):
            return self.net.input_device.empty((batch.targets.shape[1], 0))
        return self.net.input_device.empty((0,), np.int32)

    def probabilities(self, batch: data.Batch, views: int = 1) -> np.ndarray:
        """(pictures, outputs) float32; with 10 views the mean over them (paper, section 4.1)."""
        if views == 1:
            return self._probabilities(batch)
        if views != 10:
            raise ValueError(f"{views} views: give 1 (centre crop) or 10 (paper, section 4.1)")
        return sum(self._probabilities(view) for view in data.ten_views(batch, self.crop)) / views

    def _probabilities(self, batch: data.Batch) -> np.ndarray:
        images, _ = self.upload(batch)
        self.net.forward(images, None, train=False, step=0)
        return self.net.probabilities()


def _statistics_from(tensors: dict[str, np.ndarray]) -> data.Statistics:
    values = {field.name: tensors[DATA_PREFIX + field.name] for field in fields(data.Statistics)}
    return data.Statistics(**{**values, "pictures": int(values["pictures"])})
