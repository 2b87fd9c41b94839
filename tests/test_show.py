"""The layer table, with the paper's figures in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from alexnet_raw import layer_file, show
from tests.test_network import sparse_towers


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012"])
def test_the_papers_net_has_its_parameters_and_multiply_adds(name):
    rows = {row.layer.name: row for row in show.rows(layer_file.load_packaged(name), 128)}
    assert sum(row.parameters for row in rows.values()) == 60_965_224
    assert sum(row.mult_adds for row in rows.values()) == pytest.approx(724.4e6, rel=1e-4)
    conv2 = rows["conv2a"].mult_adds + rows["conv2b"].mult_adds
    assert conv2 == pytest.approx(223.9e6, rel=1e-3)
    assert rows["conv1a"].output == (48, 55, 55) and rows["pool5b"].output == (128, 6, 6)


def test_local_layers_and_random_channels_are_counted():
    rows = {row.layer.name: row for row in show.rows(sparse_towers(), 5, (3, 17, 17))}
    conv1, conv2, local3 = rows["conv1a"], rows["conv2a"], rows["local3a"]
    weights, pixels = 1 * 5 * 5 * 6, 7 * 7
    assert conv1.parameters == weights + 6 * pixels and conv1.mult_adds == weights * pixels
    weights = (3 + 3) * 3 * 3 * 8
    assert conv2.parameters == weights + 8 and conv2.mult_adds == weights * pixels
    weights, pixels = 4 * (3 * 3 + 1) * 4, 4 * 4
    assert local3.parameters == (weights + 4) * pixels and local3.mult_adds == weights * pixels
    held = 2 * 4 * 4 * 4 + 2 * 8 * 7 * 7
    assert local3.memory == 4 * (held * 5 + 3 * local3.parameters), "and the channels picked"
    assert "8 of 3x3 stride 1 pad 1 groups 4 of 3 random channels" in conv2.layer.describe()


def test_memory_of_a_layer():
    spec = layer_file.load_packaged("alexnet")
    rows = {row.layer.name: row for row in show.rows(spec, 4)}
    assert rows["conv1a"].memory == 4 * (2 * 48 * 55 * 55 * 4 + 3 * 17_472), "output and gradient"
    assert rows["data"].memory == 4 * 3 * 224 * 224 * 4, "pictures have no gradient"


def test_table_places_towers_on_devices():
    spec = layer_file.load_packaged("alexnet")
    lines = show.table(spec, 128, ["cuda:0", "cuda:1"]).splitlines()
    row = {line.split()[0]: line for line in lines if line.split()}
    assert row["conv2a"].endswith("0 cuda:0") and row["conv2b"].endswith("1 cuda:1")
    assert "60,965,224" in row["total"] and "724.4 M" in row["total"]
    folded = show.table(spec, 128, ["cpu"])
    assert "1 cpu" not in folded and "0 cpu" in folded


def test_table_tells_what_was_changed():
    text = show.table(layer_file.load_packaged("alexnet").with_classes(20), 128, ["cpu"])
    assert "note: fc8 has 20 outputs, the classes of the data, instead of the 1000" in text
    assert "20x1x1" in text


def test_showing_needs_no_extension():
    code = (
        "import sys; from alexnet_raw import layer_file, show;"
        "print(show.table(layer_file.load_packaged('alexnet'), 1, ['cpu']));"
        "assert not {'alexnet_raw._cpu', 'alexnet_raw._cuda'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
