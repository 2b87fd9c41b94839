"""The command line: each command at work, and one line for each mistake."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_raw import checkpoint, data, info
from alexnet_raw.cli import main
from alexnet_raw.cli.predict import BAR, bar, lines
from alexnet_raw.data import idx
from alexnet_raw.device import parse_devices
from alexnet_raw.model import Model
from tests import tiny_run

COMMANDS = ("train", "eval", "predict", "show", "plan", "info", "check-grads") + (
    "ensemble",
    "plot",
    "experiment",
)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """A folder with a tiny net's files, its pictures, and one trained run in runs/tiny."""
    folder = tmp_path_factory.mktemp("cli")
    tiny_run.write_net(folder)
    tiny_run.write_pictures(folder / "pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(train_arguments()) == 0
    return folder


@pytest.fixture
def workspace(run_folder, monkeypatch) -> Path:
    monkeypatch.chdir(run_folder)
    return run_folder


def train_arguments(*more: str, epochs: int = 6) -> list[str]:
    files = ["--net", "tiny.layers.cfg", "--params", "tiny.params.cfg", "--data", "pictures"]
    return ["train", *files, "--epochs", str(epochs), "--batch-size", str(tiny_run.BATCH), *more]


def refused(arguments: list[str], capsys, *said: str) -> None:
    """Exit code 2 and one line on stderr that holds all of ``said``."""
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    err = capsys.readouterr().err.strip()
    assert code == 2, err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("alexnet-raw")
    for text in said:
        assert text in err, err


# ---- help and mistakes


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"alexnet-raw {command}" in text
    assert max(map(len, text.splitlines())) <= 110


def test_top_help_names_all_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert all(re.search(rf"^ +{command}\b", text, re.M) for command in COMMANDS)


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert info.version() in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], ["COMMAND"]),
        (["tran"], ["tran", "train"]),
        (["train", "--epoch", "3"], ["--epoch"]),
        (["train", "--epochs", "0"], ["--epochs", "'0'", "at least 1"]),
        (["train", "--epochs", "many"], ["--epochs", "'many'"]),
        (["train", "--batch-size", "-3"], ["--batch-size", "'-3'"]),
        (["train", "--lr", "nan"], ["--lr", "'nan'"]),
        (["train", "--lr", "-1"], ["--lr"]),
        (["train", "--classes", "all"], ["--classes", "'all'"]),
        (["train", "--schedule", "cosine"], ["cosine", "plateau"]),
        (["train", "--devices", "tpu"], ["tpu", "cuda:N"]),
        (["train", "--devices", "cpu,"], ["empty"]),
        (["train", "--precision", "tf32"], ["tf32", "tensor cores", "cpu", "fp32"]),
        (["eval", "--precision", "fp16"], ["fp16", "bf16"]),
        (["train", "--net", "vgg"], ["vgg", "alexnet-mini"]),
        (["train", "--net", "no.layers.cfg"], ["--params"]),
        (["train", "--net", "no.layers.cfg", "--params", "no.cfg"], ["no.layers.cfg"]),
        (["train", "--data", "no-such-folder"], ["no-such-folder"]),
        (["train", "--resume", "no-such-run"], ["no-such-run"]),
        (["eval", "--checkpoint", "no-such-run"], ["no-such-run"]),
        (["eval", "--views", "5"], ["--views", "5"]),
        (["predict"], ["PICTURE"]),
        (["show", "vgg"], ["vgg", "alexnet"]),
        (["info", "no-such-run"], ["no-such-run"]),
        (["check-grads", "--net", "vgg"], ["vgg"]),
    ],
)
def test_mistakes_are_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(arguments, capsys, *said)
    assert not list(tmp_path.iterdir())  # and nothing was written


@pytest.mark.parametrize("command", ["eval", "predict x.png", "train --resume"])
def test_no_run_yet(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(command.split(), capsys, "no run under runs/", "alexnet-raw train")


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("ALEXNET_RAW_DEBUG", "1")
    with pytest.raises(ValueError, match="vgg"):
        main(["show", "vgg"])


# ---- train


def test_train_writes_the_run(workspace):
    names = {file.name for file in Path("runs/tiny").iterdir()}
    assert names == {
        "checkpoint.safetensors",
        "best.safetensors",
        "history.jsonl",
        "batches.jsonl",
        "net.layers.cfg",
        "net.params.cfg",
        "learning-curve.png",
        "filters.png",
    }


def test_train_does_not_clobber(workspace, capsys):
    refused(train_arguments("--output", "runs/tiny"), capsys, "runs/tiny", "--resume")


def test_checkpoint_elsewhere(workspace, tmp_path):
    where = tmp_path / "deep" / "mine.safetensors"
    code = main(
        train_arguments("--checkpoint", str(where), "--output", str(tmp_path / "run"), epochs=1)
    )
    assert code == 0
    assert checkpoint.load_metadata(where)["classes"] == ["0", "1", "2"]
    assert not (tmp_path / "run" / checkpoint.FILE_NAME).exists()


@pytest.mark.parametrize(
    "flag", ["--crop 9", "--net alexnet", "--recipe paper", "--seed 3", "--output x"]
)
def test_resume_keeps_the_settings(flag, workspace, capsys):
    refused(["train", "--resume", "runs/tiny", *flag.split()], capsys, flag.split()[0], "resumed")


def test_resume_without_a_name_takes_the_newest(workspace, tmp_path, monkeypatch, capsys):
    assert main(train_arguments("--output", str(tmp_path / "runs" / "a"), epochs=1)) == 0
    pictures = str(Path("pictures").resolve())
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", "--epochs", "2", "--data", pictures]) == 0
    assert "epoch 2/2" in capsys.readouterr().out


def test_more_outputs_are_announced(workspace, tmp_path, capsys):
    arguments = train_arguments("--classes", "9", "--output", str(tmp_path / "run"), epochs=1)
    assert main(arguments) == 0
    assert "fc3 has 9 outputs" in capsys.readouterr().out
    assert main(["eval", "--checkpoint", str(tmp_path / "run")]) == 0


def test_ctrl_c_saves_and_resumes(workspace, tmp_path):
    """A real process and a real signal."""
    command = [sys.executable, "-m", "alexnet_raw"]
    output = tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": str(Path(info.__file__).parents[1])}
    process = subprocess.Popen(
        [*command, *train_arguments("--output", str(output), epochs=100_000)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    deadline = time.monotonic() + 60
    while not (output / "history.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"alexnet-raw train --resume {output}" in out
    assert "Traceback" not in err
    epochs = len(checkpoint.load_metadata(output)["run"]["history"]) + 1
    resumed = subprocess.run(
        [*command, "train", "--resume", str(output), "--epochs", str(epochs)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed in epoch" in resumed.stdout


def test_ctrl_c_while_modules_load(tmp_path):
    """It ends by the signal, without the traceback of whatever is being imported."""
    (tmp_path / "numpy.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from alexnet_raw.__main__ import main; main()"
    path = os.pathsep.join((str(tmp_path), str(Path(info.__file__).parents[1])))
    done = subprocess.run(
        [sys.executable, "-c", code, "info"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_ctrl_c_while_a_compiled_module_loads(monkeypatch):
    def load(_):
        raise ImportError("initialization failed") from KeyboardInterrupt()

    monkeypatch.setattr("alexnet_raw.cli.info.run", load)
    assert main(["info"]) == 130


def test_a_full_disk_is_one_line(workspace, tmp_path, capsys, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    arguments = ["plot", "filters", "runs/tiny", "--output", str(tmp_path / "f.png")]
    refused(arguments, capsys, "f.png: No space left on device: free some, or write to another disk")


# ---- the other commands


def test_eval(workspace, capsys):
    assert main(["eval"]) == 0
    out = capsys.readouterr().out
    history = checkpoint.load_metadata("runs/tiny")["run"]["history"]
    expected = history[-1]["validation"]
    assert f"loss {expected['loss']:.4f}" in out
    assert f"top-1 error {expected['top1']:.2%}" in out
    assert f"({tiny_run.VAL} pictures, centre crop)" in out


def test_eval_options(workspace, capsys):
    assert main(["eval", "--views", "10", "--batch-size", "7", "--checkpoint", "runs/tiny"]) == 0
    assert "10 views" in capsys.readouterr().out
    assert main(["eval", "--split", "train"]) == 0
    assert f"({tiny_run.TRAIN} pictures" in capsys.readouterr().out


def test_eval_without_validation_pictures(workspace, tmp_path, capsys):
    pictures = tiny_run.write_pictures(tmp_path / "pictures", validation=False)
    refused(["eval", "--data", pictures, "--checkpoint", "runs/tiny"], capsys, "--split train")


def test_predict(workspace, tmp_path, capsys):
    """A validation picture, as a PNG file: the same class and as sure as in evaluation."""
    pixels = idx.read(Path("pictures/t10k-images-idx3-ubyte"))[1]  # of class 1
    path = tmp_path / "one.png"
    Image.fromarray(pixels).save(path)
    model = Model.load("runs/tiny", parse_devices("cpu"), 1)
    source = data.open("pictures", "val", size=model.picture_size)
    batch = next(data.Loader(source, 1, model.crop, train=False).epoch(0, 1))
    np.testing.assert_array_equal(model.read(str(path)).pictures, batch.pictures)
    expected = lines(model.probabilities(batch)[0], model.classes, top=5)
    assert expected[0].split()[0] == "1"
    assert main(["predict", str(path), str(path)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1:] == [str(path), *expected, str(path), *expected]
    assert main(["predict", str(path), "--views", "10", "--top", "2"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_predict_names_a_broken_picture(workspace, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    assert main(["predict", "--checkpoint", "runs/tiny", str(broken)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("alexnet-raw predict: ")
    assert "broken.jpg" in err
    assert main(["predict", "--checkpoint", "runs/tiny", "missing.jpg"]) == 2
    assert "missing.jpg: No such file" in capsys.readouterr().err


def test_bars():
    assert bar(0) == ""
    assert bar(1) == "█" * BAR
    assert bar(0.5 / BAR) == "▌"
    shown = lines(np.array([0.1, 0.7, 0.15, 0.05]), ["a", "bbb"], top=3)
    assert [line.split()[0] for line in shown] == ["bbb", "(output", "a"]
    assert shown[0].endswith(" 70.0%")
    assert len(set(map(len, shown))) == 1


def test_show(capsys):
    assert main(["show", "alexnet"]) == 0
    assert "60,965,224" in capsys.readouterr().out


def test_info(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^built for cpu +\S", out, re.M)
    assert re.search(r"^built for cuda +\S", out, re.M)
    assert re.search(r"^cpu +usable: ", out, re.M)
    assert re.search(r"^cuda", out, re.M)


def test_info_of_a_checkpoint_is_json(workspace, capsys):
    assert main(["info", "runs/tiny"]) == 0
    metadata = json.loads(capsys.readouterr().out)
    assert metadata["net"]["name"] == "tiny"
    assert "[conv1a]" in metadata["net"]["definition"]
    assert metadata["versions"]["numpy"] == np.__version__


def test_check_grads(workspace, capsys):
    files = ["--net", "tiny.layers.cfg", "--params", "tiny.params.cfg"]
    assert main(["check-grads", *files]) == 0
    out = capsys.readouterr().out
    assert "conv1a.weights0" in out
    assert "passed" in out
