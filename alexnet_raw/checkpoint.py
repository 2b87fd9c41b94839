"""A checkpoint: one safetensors file that holds a whole run.

The tensors are the net's weights and velocities (``Network.state()``) and the statistics of the
training pictures (``data.*``). Everything else (the texts of the layer files, the classes, the
position in the run, the history) is JSON in the header of the same file, so that the two can never
disagree. Any safetensors reader opens it; ``alexnet-raw info FILE`` prints the JSON.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from alexnet_raw import atomic

FILE_NAME = "checkpoint.safetensors"  # the newest, in the folder of a run
BEST = "best.safetensors"  # of lowest validation error
OF_EPOCH = "epoch-{:04}.safetensors"
FORMAT = "alexnet-raw checkpoint 2"
KEY = "alexnet_raw"  # the header entry that holds the JSON


class CheckpointError(ValueError):
    """A checkpoint that cannot be written or read; the message names the file and the remedy."""


@dataclass
class Checkpoint:
    """``tensors``: name -> array of any dtype. ``metadata``: anything that JSON can express."""

    tensors: dict[str, np.ndarray]
    metadata: dict[str, Any]


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Writes the file whole or not at all: what was at ``path`` stays until the new one is safe.

    Raises CheckpointError when the file cannot be written, a full disk included.
    """
    path = Path(path)
    header = {KEY: json.dumps({"format": FORMAT, **checkpoint.metadata}, allow_nan=False)}
    tensors = {name: np.asarray(a, order="C") for name, a in checkpoint.tensors.items()}
    try:
        with atomic.replacing(path) as temporary:
            temporary.touch()
            mode = temporary.stat().st_mode  # what the umask asks for; safetensors would make it 0600
            save_file(tensors, temporary, metadata=header)
            temporary.chmod(mode)
    except (OSError, SafetensorError) as error:
        remedy = ". Free some space there, or choose another folder with --output"
        if path.exists():
            remedy = (
                "; the checkpoint saved before it is untouched. Free some space there, or copy the "
                "folder to another disk, and go on with --resume"
            )
        megabytes = sum(a.nbytes for a in tensors.values()) / 1e6
        raise CheckpointError(
            f"cannot write checkpoint {path} ({megabytes:,.0f} MB): {error}{remedy}"
        ) from error


def load(path: str | Path) -> Checkpoint:
    """Reads a checkpoint, or the one in the folder of a run. Raises CheckpointError."""
    path = locate(path)
    metadata = load_metadata(path)
    with safe_open(path, framework="numpy") as file:
        return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, metadata)  # noqa: SIM118


def load_tensor(path: str | Path, name: str) -> np.ndarray | None:
    """One tensor of a checkpoint, without reading the others; None if it has none of that name."""
    path = locate(path)
    load_metadata(path)  # raises CheckpointError
    with safe_open(path, framework="numpy") as file:
        return file.get_tensor(name) if name in file.keys() else None  # noqa: SIM118


def load_metadata(path: str | Path) -> dict[str, Any]:
    """The JSON of a checkpoint, without reading its tensors. Raises CheckpointError."""
    path = locate(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}): it was cut short or is something "
            "else; give a checkpoint that 'alexnet-raw train' wrote"
        ) from error
    try:
        metadata = json.loads(header[KEY])
        found = metadata.pop("format")
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is a safetensors file, but not one of 'alexnet-raw train'"
        ) from error
    if not found.startswith(FORMAT.rstrip("0123456789")):
        raise CheckpointError(f"{path} holds {found!r}, which is no checkpoint of 'alexnet-raw train'")
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has format {found!r}, this version reads {FORMAT!r}: "
            "use the alexnet-raw version that wrote it"
        )
    return metadata


def locate(path: str | Path) -> Path:
    """The checkpoint file that ``path`` means: itself, or the one in that folder."""
    path = Path(path)
    if path.is_dir():
        path = path / FILE_NAME
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}: 'alexnet-raw train' writes one")
    return path


def newest(runs: str | Path = "runs") -> Path | None:
    """The checkpoint written last under the folder of runs, if there is any."""
    found = sorted(Path(runs).glob(f"*/{FILE_NAME}"), key=lambda file: file.stat().st_mtime)
    return found[-1] if found else None


def copy(path: Path, target: Path) -> None:
    """Gives a checkpoint a second name, which stays when the first is written again. Atomic."""
    with atomic.replacing(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)


def of_epochs(folder: Path) -> list[Path]:
    """The checkpoints of single epochs in a run's folder, oldest first."""
    return sorted(folder.glob(OF_EPOCH.replace("{:04}", "*")))


def main(path: Path) -> Path:
    """The checkpoint that a run goes on to write, if it is resumed from this one."""
    copies = (path.parent / BEST, *of_epochs(path.parent))
    return path.with_name(FILE_NAME) if path in copies else path
