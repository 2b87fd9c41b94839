"""A net that starts from another: which layers, and that they are really taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alexnet_raw import checkpoint, data, layer_file, transfer
from alexnet_raw.checkpoint import Checkpoint, CheckpointError
from alexnet_raw.cli import main
from alexnet_raw.device import parse_devices
from alexnet_raw.model import Model
from alexnet_raw.run import Run
from alexnet_raw.run_settings import Settings
from alexnet_raw.training import train_batch
from tests import tiny_run

LEARN = ["conv1a", "conv1b", "fc2a", "local2b", "fc2b", "fc3"]  # layers of the tiny net, in order


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """The tiny net after a few steps on its three classes, and saved."""
    folder = tmp_path_factory.mktemp("pretrained")
    net, params = tiny_run.write_net(folder)
    pictures = tiny_run.write_pictures(folder / "pictures")
    settings = Settings(net, params, pictures, epochs=1, batch_size=tiny_run.BATCH)
    run = Run.start(settings, parse_devices("cpu"), folder / "run")
    for batch in run.train_loader.epoch(0):
        train_batch(run, batch)
    run.save()
    return run


def new_model(
    run: Run,
    definition: str = tiny_run.DEFINITION,
    parameters: str | None = None,
    classes: list[str] | None = None,
    seed: int = 5,
    devices: str = "cpu",
) -> Model:
    """An untrained net of the tiny net's layers, or of a changed definition."""
    spec = layer_file.parse(definition, parameters or tiny_run.parameters(), "tiny")
    classes = classes or run.model.classes
    if spec.classes != len(classes):
        spec = spec.with_classes(len(classes))
    statistics = run.model.statistics
    return Model.build(spec, parse_devices(devices), 8, seed, classes, statistics, tiny_run.SIZE)


def state_of(model: Model, layer: str) -> dict[str, np.ndarray]:
    return {name: a for name, a in model.net.state().items() if name.startswith(f"{layer}.")}


def check(run: Run, model: Model, lines: list[str], before: dict, new: dict[str, str]) -> None:
    """The layers in ``new`` are as they were, with that reason told; all others as in the run."""
    trained = run.model.net.state()
    assert [line.split(":")[0] for line in lines] == LEARN
    for line, layer in zip(lines, LEARN, strict=True):
        if layer in new:
            assert f"{layer}: new: " in line and new[layer] in line, line
        else:
            assert line == f"{layer}: from {run.checkpoint_path}"
        for name, array in state_of(model, layer).items():
            if name.endswith(".velocity"):
                assert not array.any()
                continue
            source = before if layer in new else trained
            np.testing.assert_array_equal(array, source[name], name)
            if layer not in new:
                assert not np.array_equal(array, before[name]), name


def test_everything_fits_with_the_same_seed(run):
    model = new_model(run, seed=run.settings.seed, devices="cpu,cpu")
    before = model.net.state()
    lines = transfer.start_from(model, run.folder)  # the folder means its checkpoint
    check(run, model, lines, before, {})


def test_random_connections_of_another_seed_do_not_fit(run):
    model = new_model(run)
    before = model.net.state()
    lines = transfer.start_from(model, run.checkpoint_path)
    check(run, model, lines, before, {"local2b": "random connections"})


@pytest.mark.parametrize(
    "classes, reason",
    [(["x", "y", "z"], "the classes are others"), (list("vwxyz"), "(8, 3) there, (8, 5) here")],
)
def test_other_classes_get_a_new_last_layer(run, classes, reason):
    model = new_model(run, classes=classes, seed=run.settings.seed)
    before = model.net.state()
    lines = transfer.start_from(model, run.checkpoint_path)
    check(run, model, lines, before, {"fc3": reason})


def test_other_shapes_and_names_are_new(run):
    definition = tiny_run.DEFINITION.replace("outputs=8", "outputs=6", 1).replace("conv1b", "convX")
    model = new_model(
        run,
        definition,
        tiny_run.parameters().replace("conv1b", "convX"),
        seed=run.settings.seed,
    )
    before, trained = model.net.state(), run.model.net.state()
    lines = dict(line.split(": ", 1) for line in transfer.start_from(model, run.checkpoint_path))
    assert lines["convX"] == "new: the checkpoint has no convX.weights0"
    assert "biases" in lines["fc2a"] or "weights0" in lines["fc2a"]
    assert lines["fc3"].startswith("new: its weights0 are (8, 3) there, (6, 3) here")
    after = model.net.state()
    for name in ("convX.weights0", "fc2a.weights0", "fc3.weights1"):
        np.testing.assert_array_equal(after[name], before[name])
    for name in ("conv1a.weights0", "fc2b.weights1", "fc2b.biases"):
        np.testing.assert_array_equal(after[name], trained[name])


def test_nothing_fits(run, tmp_path):
    saved = checkpoint.load(run.checkpoint_path)
    tensors = {f"other.{name}": array for name, array in saved.tensors.items()}
    checkpoint.save(tmp_path / "c.safetensors", Checkpoint(tensors, saved.metadata))
    with pytest.raises(CheckpointError, match=r"c\.safetensors has no layer .* initWFunc"):
        transfer.start_from(new_model(run), tmp_path / "c.safetensors")


def test_a_taken_net_says_the_same(run):
    """With all layers taken, the new net gives the old one's probabilities, and goes on learning."""
    model = new_model(run, seed=run.settings.seed)
    transfer.start_from(model, run.checkpoint_path)
    loader = data.Loader(run.val_loader.source, 8, model.crop, train=False)
    batch = next(loader.epoch(0))
    np.testing.assert_array_equal(model.probabilities(batch), run.model.probabilities(batch))
    net = model.net
    before = net.state()["conv1a.weights0"]
    net.forward(*model.upload(replace(batch)), train=True)
    net.backward()
    net.update(0.0)
    assert not np.array_equal(net.state()["conv1a.weights0"], before)


def test_the_layer_file_can_take_a_layer_too(run):
    """initWFunc and initBFunc of a layer of another name: what --init-from does not do."""
    take = f"initWFunc=checkpoint.weights({run.checkpoint_path},conv1a)\n"
    take += f"initBFunc=checkpoint.biases({run.checkpoint_path},conv1a)\n"
    definition = tiny_run.DEFINITION.replace("[conv1b]\n", f"[conv1b]\n{take}")
    after, trained = new_model(run, definition).net.state(), run.model.net.state()
    for part in ("weights0", "biases"):
        np.testing.assert_array_equal(after[f"conv1b.{part}"], trained[f"conv1a.{part}"])


def test_the_sixth_convolution_is_new_over_the_papers_net():
    """alexnet-6conv: what the paper and the authors' notes say of it; the five convs fit alexnet's."""
    spec, paper = layer_file.load_packaged("alexnet-6conv"), layer_file.load_packaged("alexnet")
    shapes = spec.shapes()
    assert shapes["conv6a"] == shapes["conv6b"] == shapes["pool5a"] == (128, 6, 6)
    for tower in "ab":
        assert spec[f"conv6{tower}"].inputs == ["pool5a", "pool5b"]
        assert spec[f"fc7{tower}"].inputs == ["conv6a", "conv6b"]

    def parameters(net) -> dict[str, tuple]:
        sizes = net.shapes()
        return {
            f"{layer.name}.{p.name}": p.shape
            for layer in net
            for p in layer.parameters([sizes[name] for name in layer.inputs])
        }

    own, papers = parameters(spec), parameters(paper)
    added = 2 * (2 * 128 * 9 * 128 + 128)
    assert sum(map(np.prod, own.values())) == 60_965_224 + added == 61_555_304
    common = {name for name in own if "weights0" in name and papers.get(name) == own[name]}
    assert {name.split(".")[0] for name in common} == {f"conv{i}{t}" for i in range(1, 6) for t in "ab"}
    rates = {
        p.rate.eps for layer in spec for p in layer.parameters([shapes[name] for name in layer.inputs])
    }
    assert rates == {0.01}


def test_init_from(run, tmp_path, monkeypatch, capsys):
    """The command: a run on other classes says where each layer comes from, and remembers it."""
    monkeypatch.chdir(tmp_path)
    files = tiny_run.write_net(tmp_path)
    pictures = Path(tiny_run.write_pictures(tmp_path / "pictures"))
    (pictures / "classes.txt").write_text("up\nleft\nright\n")
    flags = ["--net", files[0], "--params", files[1], "--data", str(pictures), "--epochs", "1"]
    start = ["--init-from", str(run.folder), "--output", "new"]
    assert main(["train", *flags, *start]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"start conv1a: from {run.checkpoint_path}" in lines
    assert "start fc3: new: the classes are others" in lines
    settings = checkpoint.load_metadata("new")["run"]["settings"]
    assert settings["init_from"] == str(run.checkpoint_path)
    assert main(["train", "--resume", "new", "--init-from", "a"]) == 2
    assert "--init-from cannot change" in capsys.readouterr().err
    assert main(["train", *flags, "--init-from", "no-such-run", "--output", "other"]) == 2
    assert "no-such-run" in capsys.readouterr().err
    assert not Path("other").exists()


def test_a_run_starts_from_the_weights(run, tmp_path):
    """Before the first step, the new run's net is the old one."""
    settings = replace(run.settings, init_from=str(run.folder))
    new = Run.start(settings, parse_devices("cpu"), tmp_path / "run")
    for name, array in run.model.net.state().items():
        if name.endswith(".velocity"):
            array = np.zeros_like(array)
        np.testing.assert_array_equal(new.model.net.state()[name], array, name)
    assert len(new.origins) == len(LEARN)
