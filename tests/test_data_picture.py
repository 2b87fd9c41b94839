"""One picture: every kind that people have, and every way of being broken."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from alexnet_raw.data import picture
from alexnet_raw.data.errors import PictureError

from .data_pictures import encode, smooth

SIZE = 32


def difference(got: np.ndarray, want: np.ndarray) -> float:
    assert got.shape == want.shape and got.dtype == np.uint8
    return float(np.abs(got.astype(float) - want.astype(float)).max())


def by_hand(pixels: np.ndarray, size: int) -> np.ndarray:
    """The paper's two steps: shorter side to size, then the central square."""
    height, width = pixels.shape[:2]
    scale = size / min(height, width)
    image = Image.fromarray(pixels).resize(
        (round(width * scale), round(height * scale)), Image.Resampling.BILINEAR
    )
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("shape", [(64, 64), (64, 96), (150, 64), (33, 47), (20, 10), (256, 512)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM"])
def test_shorter_side_then_centre(shape, kind):
    pixels = smooth(*shape)
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    got = picture.prepare(encode(pixels, kind, **options), SIZE)
    # Up to 16 grey levels per source pixel in the smallest, where by_hand rounds the crop.
    assert difference(got, by_hand(pixels, SIZE)) <= 12


def test_equal_size_is_untouched(rng):
    pixels = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    assert np.array_equal(picture.prepare(encode(pixels, "PNG"), SIZE), pixels)


def test_even_scale_is_untouched_by_position(rng):
    """A panorama's result is that of its central square alone."""
    pixels = rng.integers(0, 256, (SIZE, 5 * SIZE, 3), np.uint8)
    got = picture.prepare(encode(pixels, "PNG"), SIZE)
    assert np.array_equal(got, pixels[:, 2 * SIZE : 3 * SIZE])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_anti_aliased(kind):
    """A fine chessboard becomes grey, not a coarse pattern."""
    board = np.indices((512, 512)).sum(axis=0) % 2 * 255
    pixels = np.repeat(board.astype(np.uint8)[..., None], 3, axis=2)
    got = picture.prepare(encode(pixels, kind), SIZE).astype(float)
    assert np.abs(got[2:-2, 2:-2] - 127.5).max() < 12


def test_grey_gets_three_channels():
    grey = smooth(40, 40)[..., 0]
    for kind in ("JPEG", "PNG"):
        got = picture.prepare(encode(grey, kind), SIZE)
        assert got.shape == (SIZE, SIZE, 3)
        assert np.array_equal(got[..., 0], got[..., 1]) and np.array_equal(got[..., 0], got[..., 2])


def test_one_bit():
    got = picture.prepare(encode(Image.new("1", (40, 40), 1), "PNG"), SIZE)
    assert np.all(got == 255)


def test_cmyk_jpeg():
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[..., 0] = 255  # cyan ink only
    data = encode(Image.fromarray(pixels, "CMYK"), "JPEG", quality=95)
    assert difference(picture.prepare(data, SIZE), np.full((SIZE, SIZE, 3), [0, 255, 255])) <= 4


def test_palette():
    image = Image.fromarray(smooth(40, 40)).quantize(16)
    got = picture.prepare(encode(image, "PNG"), 40)
    assert np.array_equal(got, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparent_is_white(kind):
    pixels = np.zeros((40, 40, 4), np.uint8)  # transparent black
    pixels[:, 20:] = [255, 0, 0, 255]
    got = picture.prepare(encode(pixels, kind, lossless=True), 20)
    assert np.all(got[:, :9] == 255)
    assert np.all(got[:, 11:] == [255, 0, 0])
    assert np.all(got[:, :, 0] == 255)  # no dark fringe between


def test_transparent_palette_and_gif():
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 0, 255, 0])
    image.paste(1, (20, 0, 40, 40))
    for kind in ("PNG", "GIF"):
        got = picture.prepare(encode(image, kind, transparency=0), 40)
        assert np.all(got[:, :20] == 255) and np.all(got[:, 20:] == [0, 255, 0])


def test_sixteen_bit_grey():
    values = np.linspace(0, 65535, 40 * 40).reshape(40, 40).astype(np.uint16)
    got = picture.prepare(encode(values, "PNG"), 40)
    assert np.array_equal(got[..., 0], np.round(values / 257))


def test_sixteen_bit_rgb():
    """Written by hand: Pillow does not save them."""
    values = (smooth(8, 8).astype(np.uint16) * 257).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)

    def chunk(name: bytes, data: bytes) -> bytes:
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(picture.prepare(data, 8), smooth(8, 8))


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.all(picture.prepare(data, SIZE) == [255, 0, 0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind, orientation):
    """A picture stored turned comes out as its upright original."""
    upright = smooth(48, 80)
    undo = {  # how a camera stores the picture for each orientation
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(undo[orientation](upright))
    options = {"quality": 98} if kind in ("JPEG", "WEBP") else {}
    got = picture.prepare(encode(stored, kind, exif=exif, **options), SIZE)
    want = picture.prepare(encode(upright, "PNG"), SIZE)
    assert difference(got, want) <= 6


@pytest.mark.parametrize("before", [b"\xff\xda", b"\xff\xe1\0\2", b"Exif\0\0", bytes(65000)])
def test_exif_is_found_behind_any_other_segment(before):
    exif = Image.Exif()
    exif[0x0112] = 3
    stored = encode(smooth(40, 60), "JPEG", exif=exif)
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(before)) + before
    got = picture.prepare(stored[:2] + comment + stored[2:], SIZE)
    assert np.array_equal(got, picture.prepare(stored, SIZE))
    plain = picture.prepare(encode(smooth(40, 60), "JPEG"), SIZE)
    assert np.array_equal(got, plain[::-1, ::-1])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_lose_the_picture():
    data = encode(smooth(40, 40), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert difference(picture.prepare(data, 40), smooth(40, 40)) < 10


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_tiny(shape, kind):
    got = picture.prepare(encode(np.full((*shape, 3), 77, np.uint8), kind), SIZE)
    assert difference(got, np.full((SIZE, SIZE, 3), 77)) <= 1


PANORAMA = """
import resource, sys
from alexnet_raw.data import picture
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
got = picture.prepare_file(sys.argv[1], 256)
assert got.shape == (256, 256, 3)
print(peak() - before, got[..., 0].mean(), got[..., 1].mean())
"""


@pytest.mark.parametrize("shape", [(10, 20000), (1600, 20000), (20000, 64)])
def test_panorama_without_a_memory_explosion(shape, tmp_path):
    """In a process of its own, to see its peak of memory. Whole, at 256 pixels high, the first
    would take 400 MB; undiminished, the second 130."""
    file = tmp_path / "wide.jpg"
    file.write_bytes(encode(smooth(*shape)))
    command = [sys.executable, "-c", PANORAMA, str(file)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    kilobytes, red, green = map(float, output.split())
    assert kilobytes < 60_000
    assert abs(red - 127.5) < 4 and abs(green - 127.5) < 4  # the middle of the ramps


def test_cmyk_panorama_is_shrunk_while_decoding():
    data = encode(Image.new("CMYK", (20000, 600)), "JPEG")
    assert np.all(picture.prepare(data, 64) >= 250)


def jpeg_claiming(height: int, width: int) -> bytes:
    data = bytearray(encode(smooth(16, 16), "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def png_claiming(height: int, width: int) -> bytes:
    data = bytearray(encode(smooth(16, 16), "PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"this is a text file, not a picture\n", "no picture in a known format"),
    "html": (b"<!DOCTYPE html><html>404</html>", "no picture in a known format"),
    "truncated jpeg": (encode(smooth(200, 200), "JPEG")[:2000], "truncated"),
    "truncated png": (encode(smooth(200, 200), "PNG")[:200], "truncated"),
    "truncated gif": (encode(smooth(200, 200), "GIF")[:2000], "truncated"),
    "jpeg header only": (b"\xff\xd8", "damaged"),
    "png header only": (b"\x89PNG\r\n\x1a\n", "no picture in a known format"),
    "jpeg bomb": (jpeg_claiming(60000, 60000), "60000 x 60000 pixels"),
    "png bomb": (png_claiming(60000, 60000), "3600000000 pixels"),
    "float": (encode(Image.new("F", (8, 8)), "TIFF"), "floating-point"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pictures_give_the_reason(name):
    data, reason = BROKEN[name]
    with pytest.raises(PictureError, match=reason):
        picture.prepare(data, SIZE)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_random_damage_raises_only_picture_errors(kind, rng):
    whole = np.frombuffer(encode(smooth(60, 50), kind), np.uint8)
    for _ in range(150):
        data = whole[: rng.integers(1, len(whole) + 1)].copy()
        places = rng.integers(0, len(data), rng.integers(0, 6))
        data[places] = rng.integers(0, 256, len(places))
        try:
            assert picture.prepare(data.tobytes(), 8).shape == (8, 8, 3)
        except PictureError as error:
            assert str(error)


def test_missing_file(tmp_path):
    with pytest.raises(PictureError, match="No such file"):
        picture.prepare_file(tmp_path / "none.jpg", SIZE)


def test_the_contents_decide_the_format(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_bytes(encode(smooth(SIZE, SIZE), "PNG"))
    assert np.array_equal(picture.prepare_file(file, SIZE), smooth(SIZE, SIZE))


def test_simplejpeg_and_pillow_agree(monkeypatch):
    data = encode(smooth(300, 400), "JPEG", quality=95)
    fast = picture.prepare(data, 256)

    def refuse(*arguments, **options):
        raise ValueError("refused")

    monkeypatch.setattr(picture.simplejpeg, "decode_jpeg", refuse)
    assert difference(picture.prepare(data, 256), fast) <= 2
