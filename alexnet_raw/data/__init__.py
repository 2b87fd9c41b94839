"""Pictures in, batches out.

    size = data.picture_size(crop)
    train = data.open("my/pictures", "train", size=size)     # a folder or a prepared store
    statistics = data.statistics(train)
    loader = data.Loader(train, batch_size=128, crop=crop, seed=1, statistics=statistics)
    for batch in loader.epoch(0):
        ...  # batch.pictures, batch.labels, batch.offsets, batch.flips, batch.noise

Warnings about single pictures go to loggers below "alexnet_raw.data".
"""

from .augmentation import NO_AUGMENTATION, NOISES, Augmentation, ten_views
from .errors import DataError, NoValidationPictures, PictureError
from .idx_folder import IdxFolder
from .loader import Batch, Loader
from .picture import prepare, prepare_file
from .picture_folder import UNREADABLE, PictureFolder
from .pixel_statistics import Statistics, statistics
from .sources import Source, picture_size
from .store import PreparedStore
from .targets import open_with_targets as open

__all__ = [
    "NOISES",
    "NO_AUGMENTATION",
    "UNREADABLE",
    "Augmentation",
    "Batch",
    "DataError",
    "IdxFolder",
    "Loader",
    "NoValidationPictures",
    "PictureError",
    "PictureFolder",
    "PreparedStore",
    "Source",
    "Statistics",
    "open",
    "picture_size",
    "prepare",
    "prepare_file",
    "statistics",
    "ten_views",
]
