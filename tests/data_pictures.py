"""Pictures of every kind, made for the data tests."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib

import numpy as np
from PIL import Image


def encode(image: Image.Image | np.ndarray, kind: str = "JPEG", **options) -> bytes:
    """The bytes of a picture file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def smooth(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8: red grows to the right, green downwards, blue is even: what scaling
    and JPEG hardly change."""
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[..., 0] = np.linspace(20, 235, width)
    pixels[..., 1] = np.linspace(20, 235, height)[:, None]
    return pixels


def write_folder(root, counts: dict[str, int], rng: np.random.Generator, size: int = 40) -> None:
    """root/CLASS/N.png, noise pictures all different."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
            (root / name / f"{i}.png").write_bytes(encode(pixels, "PNG"))


def hostile_files() -> dict[str, tuple[bytes, str | None]]:
    """Name -> contents, and a part of the reason for which they cannot be read (None: they can)."""
    photo = encode(smooth(60, 80))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    bomb = bytearray(encode(smooth(16, 16), "PNG"))
    bomb[16:24] = struct.pack(">II", 60000, 60000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    return {
        "truncated.jpg": (encode(smooth(200, 200))[:2000], "truncated"),
        "text.jpg": (b"this is no picture\n", "no picture in a known format"),
        "empty.jpg": (b"", "empty"),
        "bomb.png": (bytes(bomb), "3600000000 pixels"),
        "new\nline.jpg": (b"neither", "no picture in a known format"),
        "latin-\udce9.jpg": (b"nor this", "no picture in a known format"),
        "good latin-\udce9.jpg": (photo, None),
        "good new\nline.jpg": (photo, None),
        "cmyk.jpg": (encode(Image.new("CMYK", (50, 40))), None),
        "sixteen.png": (encode(np.full((40, 40), 999, np.uint16), "PNG"), None),
        "rotated.jpg": (encode(smooth(40, 60), exif=exif), None),
        "one.png": (encode(smooth(1, 1), "PNG"), None),
        "panorama.jpg": (encode(smooth(30, 20000)), None),
        "animated.gif": (encode(frames[0], "GIF", save_all=True, append_images=frames[1:]), None),
    }


def printable(name: str) -> str:
    return {"new\nline.jpg": r"new\nline.jpg", "latin-\udce9.jpg": r"latin-\udce9.jpg"}.get(name, name)


def tar_of(path, files: dict[str, bytes | None], mode: str = "w") -> None:
    """A tar of files; None stands for a folder."""
    with tarfile.open(path, mode) as archive:
        for name, contents in files.items():
            info = tarfile.TarInfo(name)
            if contents is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents or b""))
