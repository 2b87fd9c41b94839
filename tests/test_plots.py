"""The pictures of a run exist, can be read, and show what they are said to show."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from alexnet_raw import picture_plots, plots
from alexnet_raw.confusion import Confusion


def record(epoch: int, loss: float, validation: bool = True) -> dict:
    measures = {"loss": loss, "top1": loss / 3, "topk": loss / 9}
    return {"epoch": epoch, "train": measures, "validation": measures if validation else None}


@pytest.mark.parametrize("epochs", [1, 2, 90])
@pytest.mark.parametrize("validation", [True, False])
def test_learning_curve(tmp_path, epochs, validation):
    history = [record(e, 2.3 / e, validation) for e in range(1, epochs + 1)]
    plots.learning_curve(tmp_path / "curve.png", history, "a title")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size[0] > 1000
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 11, 11, 48)] * 2,
        [(1, 5, 5, 16)] * 2,
        [(3, 5, 5, 7)],
        [(4, 3, 3, 1)],
        [(1, 7, 7, 5)] * 3,
    ],
)
def test_filters(tmp_path, shapes):
    rng = np.random.default_rng(5)
    banks = {f"conv1{i}": rng.normal(size=shape).astype(np.float32) for i, shape in enumerate(shapes)}
    plots.filters(tmp_path / "filters.png", banks, "a title")
    with Image.open(tmp_path / "filters.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


def test_mosaic_places_each_filter():
    bank = np.zeros((3, 2, 2, 3), np.float32)
    bank[0, 0, 1, 0] = 2.0  # filter 0: red at the top right
    bank[:, 1, 0, 1] = -1.0  # filter 1: black at the bottom left
    mosaic = plots.filter_mosaic(bank, columns=2)
    size = (mosaic.shape[0] - plots.GAP) // 2
    assert mosaic.shape == (2 * size + plots.GAP, 2 * size + plots.GAP, 3)
    second = size + plots.GAP
    np.testing.assert_allclose(mosaic[0, size - 1], [1, 0.5, 0.5])
    np.testing.assert_allclose(mosaic[size - 1, second], [0, 0, 0])
    np.testing.assert_allclose(mosaic[second:, :size], 0.5)  # filter 2: all zero, grey
    np.testing.assert_allclose(mosaic[second:, second:], 1.0)  # no filter: the white of the page


def test_paper_filters_are_laid_out_as_in_figure_3():
    assert plots._columns([48, 48]) == 12


def test_weak_filters_are_not_amplified_to_noise():
    bank = np.zeros((1, 1, 1, 2), np.float32)
    bank[..., 0], bank[..., 1] = 1.0, 1e-6
    mosaic = plots.filter_mosaic(bank, columns=1)
    np.testing.assert_allclose(mosaic[-1, 0], 0.5, atol=1e-4)


def colours_of(path) -> set[tuple[int, int, int]]:
    with Image.open(path) as picture:
        return {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


def rgb(text: str) -> tuple[int, int, int]:
    return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))


@pytest.mark.parametrize("measures", [["top1"], ["top5"], ["loss", "top5"]])
def test_curves_of_several_runs(tmp_path, measures):
    runs = {f"run {n}": [record(e, 2.3 / e + n / 10) for e in range(1, 30)] for n in range(3)}
    runs["no validation"] = [record(e, 2 / e, validation=False) for e in range(1, 4)]
    plots.curves(tmp_path / "c.png", runs, measures)
    found = colours_of(tmp_path / "c.png")
    assert {rgb(colour) for colour in plots.RUNS[:3]} <= found
    assert (rgb(plots.RUNS[3]) in found) == (measures != ["top5"])  # drawn from training pictures


def test_other_formats(tmp_path):
    for suffix in ("svg", "pdf"):
        plots.curves(tmp_path / f"c.{suffix}", {"a run": [record(1, 2)]})
    assert "<svg" in (tmp_path / "c.svg").read_text()
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")


def test_characters_that_the_font_lacks_are_told_in_one_line(tmp_path, caplog, recwarn):
    tally = Confusion(["\u732b", "\u72d7", "bird"], 3)
    tally.add(np.array([0, 1]), np.eye(3, dtype=np.float32)[:2])
    picture_plots.confusion(tmp_path / "a.png", tally, "a title")
    [message] = [record.getMessage() for record in caplog.records]
    assert message.endswith("a.png: boxes stand for what the font lacks: \u72d7\u732b")
    assert not recwarn.list


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "c.xyz").write_bytes(b"old")
    with pytest.raises(ValueError, match="xyz"):
        plots.curves(tmp_path / "c.xyz", {"a run": [record(1, 2)]})
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("count, size", [(1, 28), (5, 64)])
def test_predictions(tmp_path, rng, count, size):
    names = ["n02123045 tabby, tabby cat", "x" * 90, *(f"class {i}" for i in range(5))]
    shown = [
        picture_plots.Prediction(
            rng.integers(0, 256, (size, size, 3), np.uint8),
            rng.dirichlet(np.ones(len(names))).astype(np.float32),
            None if i == 3 else i % len(names),
            "a file with a long name that goes on.jpg",
        )
        for i in range(count)
    ]
    picture_plots.predictions(tmp_path / "p.png", shown, names)
    found = colours_of(tmp_path / "p.png")
    assert {rgb(picture_plots.TRUE), rgb(picture_plots.OTHER)} <= found


def test_predictions_of_fewer_than_five_classes(tmp_path, rng):
    pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
    shown = [picture_plots.Prediction(pixels, np.array([0.25, 0.75]), None, "x.png")]
    picture_plots.predictions(tmp_path / "p.png", shown, ["a", "b"])
    assert rgb(picture_plots.TRUE) not in colours_of(tmp_path / "p.png")  # the true one is not known


@pytest.mark.parametrize("counts", [[6], [6, 6, 6, 6, 6], [3, 2]])
def test_neighbours(tmp_path, counts):
    shades = iter(range(10, 250, 5))

    def even(label: int) -> tuple[np.ndarray, int]:
        return np.full((32, 32, 3), next(shades), np.uint8), label

    queries = [even(0) for _ in counts]
    nearest = [[even(i % 2) for i in range(count)] for count in counts]
    picture_plots.neighbours(tmp_path / "n.png", queries, nearest, ["a", "b"], "a title")
    drawn = [pixels[0, 0, 0] for pixels, _ in [*queries, *(p for row in nearest for p in row)]]
    assert {(int(s),) * 3 for s in drawn} <= colours_of(tmp_path / "n.png")  # each picture, unblurred


@pytest.mark.parametrize("classes", [2, 10, 31, 1000])
def test_confusion(tmp_path, rng, classes):
    tally = Confusion([f"class {i}" for i in range(classes)], classes + 1)
    labels = rng.integers(0, classes, 400)
    tally.add(labels, rng.random((400, classes + 1)).astype(np.float32))
    picture_plots.confusion(tmp_path / "c.png", tally, "a title")
    assert len(colours_of(tmp_path / "c.png")) > 20


def test_a_confusion_without_mistakes(tmp_path):
    tally = Confusion([f"class {i}" for i in range(40)], 40)
    tally.add(np.arange(40), np.eye(40, dtype=np.float32))
    picture_plots.confusion(tmp_path / "c.png", tally)
    assert len(colours_of(tmp_path / "c.png")) > 5


def test_names_are_fitted_into_their_place():
    assert picture_plots.fitted("tabby", 2, size=8) == "tabby"
    long = picture_plots.fitted("soft-coated wheaten terrier", 1, size=8)
    assert long.startswith("soft-coated") and long.endswith("…")
    assert len(picture_plots.fitted("W" * 50, 1, size=8)) < len(
        picture_plots.fitted("i" * 50, 1, size=8)
    )
    assert len(picture_plots.fitted("W" * 50, 1, size=8, weight="bold")) < 12
    assert picture_plots.fitted("$x_{1}$ costs $2", 2, size=8) == "$x_{1}$ costs $2"
    assert picture_plots.fitted("", 1, size=8) == ""
    assert picture_plots.fitted("abc", 0, size=8) == "a"
