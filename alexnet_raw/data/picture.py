"""One picture file to one square of pixels, as the paper prepares them (section 2).

The shorter side is scaled to `size` and the central size x size square is kept. Both happen in one
anti-aliased resampling of the central square, so a long panorama never exists at full length.
JPEGs, which are nearly all pictures, are decoded by libjpeg-turbo and scaled by our own
cuda/host/central_square.cpp; Pillow does the rest. Both scale with the same filter, to a grey level.
"""

from __future__ import annotations

import functools
from io import BytesIO
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from alexnet_raw.device import Device

from .errors import PictureError

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm"),
)

# A JPEG is decoded at reduced scale, so even 20,000 x 13,000 pixels need little memory. For the
# other formats Pillow's own limit holds (2 x Image.MAX_IMAGE_PIXELS: 179 million unless changed).
MAX_JPEG_PIXELS = 2**28

FILTER = Image.Resampling.BILINEAR  # Pillow widens the filter when it shrinks: anti-aliased

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def prepare_file(path: str | Path, size: int, out: np.ndarray | None = None) -> np.ndarray:
    """As `prepare`, from a file. Raises PictureError too when the file cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise PictureError(error.strerror or str(error)) from error
    return prepare(data, size, out)


def prepare(data: bytes, size: int, out: np.ndarray | None = None) -> np.ndarray:
    """Decode the bytes of a picture file and return its central square, (size, size, 3) uint8 RGB.

    Grey, palette, CMYK and 16-bit pictures become RGB, transparency is laid over white, EXIF
    rotation is applied, and of an animation the first frame is taken. The contents decide the
    format, not the file's name. `out`: the array to fill and return. Raises PictureError with the
    reason.
    """
    if out is None:
        out = np.empty((size, size, 3), np.uint8)
    if not data:
        raise PictureError("the file is empty")
    try:
        if _is_jpeg(data):
            pixels, orientation = _decode_jpeg(data, size)
            _extension().central_square(out, pixels)
        else:
            image, orientation = _decode_other(data)
            out[...] = _flatten(resize_square(image, size))
        if orientation in _UPRIGHT:  # turning the central square turns the picture
            out[...] = Image.fromarray(out).transpose(_UPRIGHT[orientation])
        return out
    except (PictureError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise PictureError("the file holds no picture in a known format") from error
    except Image.DecompressionBombError as error:
        raise PictureError(str(error)) from error
    except Exception as error:  # on damaged files decoders raise nearly anything
        raise PictureError(f"damaged: {str(error) or type(error).__name__}") from error


@functools.cache
def _extension():
    """Loaded at the first picture, after the environment is set that OpenMP reads."""
    return Device("cpu").module


def resize_square(image: Image.Image, size: int) -> Image.Image:
    """The central square of a picture, resampled to size x size."""
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), FILTER, box=(left, top, left + side, top + side))


def _is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8")


def _decode_jpeg(data: bytes, size: int) -> tuple[np.ndarray, int]:
    """By simplejpeg, or by Pillow what that refuses: CMYK, and damage, which Pillow either forgives
    or explains. Both shrink while they decode, by 2 or more, as long as `size` pixels remain.
    """
    has_exif = data.find(b"Exif\0\0", 0, _before_scans(data)) >= 0
    orientation = _orientation(JpegImageFile(BytesIO(data))) if has_exif else 1
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        _check_jpeg_size(width, height)
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=size, min_width=size, min_factor=2)
    except PictureError:
        raise
    except ValueError:
        image = JpegImageFile(BytesIO(data))  # unlike Image.open without a limit of pixels
        _check_jpeg_size(*image.size)
        image.draft(image.mode, (size, size))
        pixels = np.asarray(image.convert("RGB"))
    return pixels, orientation


def _before_scans(data: bytes) -> int:
    """The length of a JPEG's segments before its pixels, which nobody need search; of all, in doubt."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at if data[at : at + 2] == b"\xff\xda" else len(data)


def _check_jpeg_size(width: int, height: int) -> None:
    if width * height > MAX_JPEG_PIXELS:
        raise PictureError(f"{width} x {height} pixels are more than {MAX_JPEG_PIXELS:,}")


def _decode_other(data: bytes) -> tuple[Image.Image, int]:
    image = Image.open(BytesIO(data))
    image.load()  # before asking for the orientation: a PNG may tell it after the pixels
    return _eight_bits(image), _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # damaged notes are no reason to lose the picture
        return 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something is transparent."""
    if image.mode == "F":
        raise PictureError("floating-point pixels have no agreed range; save it with 8 bits")
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it to white
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
