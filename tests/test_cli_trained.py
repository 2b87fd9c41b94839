"""eval, ensemble and plot at the command line, on a tiny trained net."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from alexnet_raw.cli import main
from alexnet_raw.data.idx_folder import IdxFolder
from tests import tiny_run

WHATS = ("curves", "filters", "confusion", "predictions", "neighbours", "features")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with pictures and two trained runs, a and b, of other seeds."""
    folder = tmp_path_factory.mktemp("trained")
    tiny_run.write_net(folder)
    tiny_run.write_pictures(folder / "pictures")
    files = ["--net", "tiny.layers.cfg", "--params", "tiny.params.cfg", "--data", "pictures"]
    short = ["--epochs", "3", "--batch-size", str(tiny_run.BATCH)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed, name in enumerate("ab"):
            more = ["--output", name, "--seed", str(seed)]
            assert main(["train", *files, *short, *more]) == 0
            save = ["--save-probs", f"{name}.safetensors"]
            assert main(["eval", "--checkpoint", name, "--views", "10", *save]) == 0
    return folder


@pytest.fixture
def here(folder, tmp_path, monkeypatch) -> Path:
    """An empty folder, with the runs and their probabilities as links in it."""
    for name in ("a", "b", "a.safetensors", "b.safetensors", "pictures"):
        (tmp_path / name).symlink_to(folder / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(arguments: list[str], capsys, *said: str) -> None:
    """Exit code 2 and one line on stderr that holds all of ``said``."""
    before = set(Path.cwd().iterdir())
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    err = capsys.readouterr().err.strip().split("\r")[-1].strip()
    assert code == 2, err
    assert len(err.splitlines()) == 1, err
    for text in said:
        assert text in err, err
    assert set(Path.cwd().iterdir()) == before  # nothing was written


def read_csv(path: str) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def is_picture(path: Path) -> bool:
    with Image.open(path) as picture:
        return len(picture.convert("RGB").getcolors(1 << 24)) > 10


# ---- help


@pytest.mark.parametrize("command", ["ensemble", "plot", *(f"plot {what}" for what in WHATS)])
def test_help_teaches(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert f"  alexnet-raw {command} " in text  # an example
    assert max(map(len, text.splitlines())) <= 110


def test_plot_help_names_all_kinds_and_shownets_flags(capsys):
    with pytest.raises(SystemExit):
        main(["plot", "--help"])
    text = capsys.readouterr().out
    for what in (*WHATS, "--show-cost", "--show-filters", "--show-preds", "--write-features"):
        assert what in text


# ---- eval


def test_eval_by_class(here, capsys):
    flags = ["--confusion", "c.csv", "--per-class", "t.csv", "--save-probs", "p.safetensors"]
    assert main(["eval", "--checkpoint", "a", *flags]) == 0
    out = capsys.readouterr().out
    saved = load_file("p.safetensors")
    assert saved["probabilities"].shape == (tiny_run.VAL, tiny_run.CLASSES)
    np.testing.assert_allclose(saved["probabilities"].sum(axis=1), 1, rtol=1e-5)
    predicted = saved["probabilities"].argmax(axis=1)
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (saved["labels"], predicted), 1)
    rows = read_csv("c.csv")
    np.testing.assert_array_equal(np.array([row[1:] for row in rows[1:]], int), counts)
    wrong = np.mean(predicted != saved["labels"])
    assert f"top-1 error {wrong:.2%}" in out
    table = read_csv("t.csv")[1:]
    assert sum(int(row[1]) for row in table) == tiny_run.VAL
    assert sum(int(row[1]) * float(row[2]) for row in table) / tiny_run.VAL == pytest.approx(
        wrong, abs=1e-5
    )
    names = saved["names"].tobytes().decode().split("\n")
    assert names[:2] == ["val picture 0", "val picture 1"]
    assert all(f"wrote {name}" in out for name in flags[1::2])


def test_eval_prints_without_files(here, capsys):
    assert main(["eval", "--checkpoint", "a", "--confusion", "--per-class"]) == 0
    out = capsys.readouterr().out
    assert "most confused:" in out and "errors by class" in out
    assert len(list(here.iterdir())) == 5


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--confusion", "c.png"], [".csv or .npy", "c.png"]),
        (["--per-class", "t.txt"], [".csv"]),
        (["--save-probs", "p.npz"], [".safetensors"]),
        (["--save-probs", "a/checkpoint.safetensors/p.safetensors"], ["--save-probs"]),
    ],
)
def test_eval_refuses_file_names_first(here, capsys, flags, said):
    refused(["eval", "--checkpoint", "no-such-run", *flags], capsys, *said)


def test_words_of_classes_are_shown(here, capsys, monkeypatch):
    """A store of ILSVRC knows what its ids mean; so does a net that was trained on it."""
    monkeypatch.setattr(IdxFolder, "words", ["zero, nil", "1", "two\nlines"], raising=False)
    files = ["--net", str(here / "net.cfg"), "--params", str(here / "params.cfg")]
    for target, text in zip(files[1::2], (tiny_run.DEFINITION, tiny_run.parameters()), strict=True):
        Path(target).write_text(text)
    assert main(["train", *files, "--data", "pictures", "--epochs", "1", "--output", "c"]) == 0
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert main(["train", "--resume", "c", "--epochs", "2"]) == 0
    Image.new("RGB", (30, 40), "gray").save("x.png")
    capsys.readouterr()
    assert main(["predict", "--checkpoint", "c", "x.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split("  ")[1] for line in lines[1:]) == ["'2 two\\nlines'", "0 zero, nil", "1"]
    assert main(["eval", "--checkpoint", "c", "--per-class", "--save-probs", "c.safetensors"]) == 0
    assert "zero" in capsys.readouterr().out
    assert main(["plot", "confusion", "c", "--output", "run.png"]) == 0
    assert main(["plot", "confusion", "c.safetensors", "--output", "file.png"]) == 0
    assert (here / "run.png").read_bytes() == (here / "file.png").read_bytes()
    assert main(["ensemble", "c.safetensors", "a.safetensors"]) == 0  # the classes are the same


def test_checkpoints_are_not_written_over(here, capsys):
    before = (here / "b" / "checkpoint.safetensors").read_bytes()
    run = "b/checkpoint.safetensors"
    refused(["eval", "--checkpoint", "a", "--save-probs", run], capsys, run, "that is a checkpoint")
    refused(["plot", "features", "a", "--output", run], capsys, run, "that is a checkpoint")
    assert (here / "b" / "checkpoint.safetensors").read_bytes() == before


def test_a_net_without_softmax(here, tmp_path, capsys):
    definition = tiny_run.DEFINITION.replace("type=softmax", "type=neuron\nneuron=logistic")
    files = tiny_run.write_net(tmp_path, definition.replace("cost.logreg", "cost.crossent"))
    flags = ["--net", files[0], "--params", files[1], "--data", "pictures", "--epochs", "1"]
    assert main(["train", *flags, "--output", "plain"]) == 0
    assert main(["eval", "--checkpoint", "plain", "--confusion", "--save-probs", "p.safetensors"]) == 0
    assert load_file("p.safetensors")["probabilities"].shape == (tiny_run.VAL, 3)
    assert main(["plot", "predictions", "plain", "--output", "p.png"]) == 0


# ---- ensemble


def numbers(line: str) -> list[float]:
    return [float(part.rstrip("%")) for part in line.split()[-3:]]


def test_ensemble_of_runs_and_files_in_any_mix(here, capsys):
    tables = []
    for members in (["a", "b"], ["a.safetensors", "b"], ["a.safetensors", "b.safetensors"]):
        assert main(["ensemble", *members, "--views", "10", "--batch-size", "7"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"{tiny_run.VAL} pictures"
        assert [line.split()[0] for line in lines[2:]] == [*members, "average"]
        tables.append([numbers(line) for line in lines[2:]])
    np.testing.assert_allclose(tables[0], tables[2], atol=1e-3)
    np.testing.assert_allclose(tables[1], tables[2], atol=1e-3)
    a, b = load_file("a.safetensors"), load_file("b.safetensors")
    mean = (a["probabilities"] + b["probabilities"]) / 2
    labels = a["labels"]
    loss = -np.log(mean[np.arange(len(labels)), labels]).mean()
    wrong = 100 * np.mean(mean.argmax(axis=1) != labels)
    np.testing.assert_allclose(tables[2][2][:2], [loss, wrong], atol=0.01)
    assert sorted(here.iterdir()) == sorted(here / n for n in
        ("a", "b", "a.safetensors", "b.safetensors", "pictures"))  # fmt: skip


def test_ensemble_weights(here, capsys):
    assert main(["ensemble", "a.safetensors", "b.safetensors", "--weights", "3,1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[2:4]] == ["0.750", "0.250"]
    assert "equal weights" in lines[4] and "given weights" in lines[5]


def test_ensemble_fits_on_one_half_and_reports_the_other(here, capsys):
    assert main(["ensemble", "a.safetensors", "b.safetensors", "--fit-weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tiny_run.VAL // 2} pictures"
    assert f"fitted on {tiny_run.VAL // 2} others" in lines[-1]
    weights = [float(line.split()[1]) for line in lines[2:4]]
    assert sum(weights) == pytest.approx(1, abs=2e-3)
    own = [load_file(f"{name}.safetensors") for name in "ab"]
    labels = own[0]["labels"]
    own = np.stack([o["probabilities"][np.arange(len(labels)), labels] for o in own], axis=1)
    grid = np.linspace(0, 1, 1001)
    fit = [-np.log(own[::2] @ [w, 1 - w]).mean() for w in grid]
    reached = -np.log(own[::2] @ weights).mean()
    assert reached == pytest.approx(min(fit), abs=1e-3)
    assert numbers(lines[-1])[0] == pytest.approx(-np.log(own[1::2] @ weights).mean(), abs=1e-3)


def test_ensemble_fits_on_other_files(here, capsys):
    for name in "ab":
        save = ["--save-probs", f"{name}-train.safetensors", "--split", "train"]
        assert main(["eval", "--checkpoint", name, *save]) == 0
    capsys.readouterr()
    members = ["a.safetensors", "b.safetensors"]
    assert main(["ensemble", *members, "--fit-on", "a-train.safetensors", "b-train.safetensors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tiny_run.VAL} pictures" and "fitted weights" in lines[-1]
    refused(
        ["ensemble", *members, "--fit-on", "b-train.safetensors", "a-train.safetensors"],
        capsys,
        "b-train.safetensors",
        "another checkpoint",
    )
    refused(["ensemble", *members, "--fit-on", "a-train.safetensors"], capsys, "1 files for 2")
    refused(
        ["ensemble", "a.safetensors", "b-train.safetensors"], capsys, "a.safetensors and b-train", "20"
    )


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], ["RUN_OR_PROBS"]),
        (["a", "no-such-run"], ["no-such-run"]),
        (["a", "b", "--weights", "1"], ["1 weights for 2 members"]),
        (["a", "b", "--fit-on", "a.safetensors", "nothing"], ["nothing"]),
        (["a.safetensors", "pictures/train-labels-idx1-ubyte"], ["train-labels-idx1-ubyte"]),
        (["a.safetensors", "b.safetensors", "--weights", "1"], ["1 weights for 2 members"]),
        (["a.safetensors", "--weights", "0,0"], ["'0,0'"]),
        (["a.safetensors", "--weights", "1,-1"], ["'1,-1'"]),
        (["a.safetensors", "--weights", "1,nan"], ["'1,nan'"]),
        (["a.safetensors", "--weights", ""], ["--weights"]),
        (["a.safetensors", "--weights", "1", "--fit-weights"], ["not allowed"]),
    ],
)
def test_ensemble_mistakes(here, capsys, arguments, said):
    refused(["ensemble", *arguments], capsys, *said)


# ---- plot


def test_plot_curves(here, capsys):
    assert main(["plot", "curves", "a", "b", "--measure", "top1,loss", "--output", "c.png"]) == 0
    assert is_picture(here / "c.png")
    (here / "h.jsonl").write_text((here / "a" / "history.jsonl").read_text())
    checkpoint = "b/checkpoint.safetensors"
    assert main(["plot", "curves", "h.jsonl", checkpoint, "--output", "c.svg"]) == 0
    text = capsys.readouterr().out
    assert "wrote c.svg" in text
    (here / "h.jsonl").write_text("")
    refused(["plot", "curves", "h.jsonl"], capsys, "h.jsonl", "no epoch")
    (here / "h.jsonl").write_text("[1]\nno json")
    refused(["plot", "curves", "h.jsonl"], capsys, "h.jsonl", "not the history")
    refused(["plot", "curves", "a", "--measure", "top9"], capsys, "top9", "top1")
    refused(["plot", "curves", "no-such-run"], capsys, "no-such-run")
    for text in (b'{"epoch": 1, "train": 3}\n', b'{"epoch": 1, "train": {"loss": 1}}\n', b"\xff\n"):
        (here / "h.jsonl").write_bytes(text)
        refused(["plot", "curves", "h.jsonl"], capsys, "h.jsonl", "not the history")
    record = {"epoch": 1, "train": {"loss": 1.0, "top1": 0.5, "topk": 0.2}, "validation": None}
    (here / "h.jsonl").write_text(json.dumps(record) + "\n")
    refused(["plot", "curves", "h.jsonl", "--measure", "top5"], capsys, "top5", "validation")


def test_plot_filters(here, capsys):
    assert main(["plot", "filters", "a", "--output", "f.pdf"]) == 0
    out = capsys.readouterr().out
    assert "conv1a  4 filters" in out and "conv1b  4 filters" in out
    assert (here / "f.pdf").read_bytes().startswith(b"%PDF")


def test_plot_confusion_of_a_run_and_of_its_probabilities(here):
    flags = ["--views", "10", "--output"]
    assert main(["plot", "confusion", "a", *flags, "run.png"]) == 0
    assert main(["plot", "confusion", "a.safetensors", *flags, "file.png"]) == 0
    assert is_picture(here / "run.png")
    assert (here / "run.png").read_bytes() == (here / "file.png").read_bytes()


def test_plot_predictions(here, capsys):
    assert main(["plot", "predictions", "a", "--count", "5", "--output", "p.png"]) == 0
    first = capsys.readouterr().out.splitlines()
    assert len(first) == 6 and len(set(first)) == 6
    assert is_picture(here / "p.png")
    more = ["--seed", "2", "--output", "p.png"]
    assert main(["plot", "predictions", "a", "--count", "99", *more]) == 0
    assert len(capsys.readouterr().out.splitlines()) == tiny_run.VAL + 1


def test_plot_only_errors(here, capsys):
    saved = load_file("a.safetensors")
    wrong = np.flatnonzero(saved["probabilities"].argmax(axis=1) != saved["labels"])
    flags = ["--only-errors", "--views", "10", "--count", "99", "--output", "p.png"]
    arguments = ["plot", "predictions", "a", *flags]
    if not len(wrong):
        refused(arguments, capsys, "no error to show")
        return
    assert main(arguments) == 0
    shown = capsys.readouterr().out.splitlines()[:-1]
    assert sorted(shown) == sorted(f"val picture {i}" for i in wrong)


def test_plot_predictions_of_files(here, capsys):
    for name in ("0", "elsewhere"):  # a class of the net, and not one
        (here / name).mkdir()
        Image.new("RGB", (30, 40), "gray").save(here / name / "x.png")
    files = ["0/x.png", "elsewhere/x.png"]
    assert main(["plot", "predictions", "a", *files, "--output", "p.png"]) == 0
    assert is_picture(here / "p.png")
    capsys.readouterr()
    only = ["--only-errors", "--output", "q.png"]
    refused(["plot", "predictions", "a", files[1], *only], capsys, "elsewhere", "true class")
    refused(["plot", "predictions", "a", "no.png", "--output", "q.png"], capsys, "no.png")


def test_plot_neighbours(here, capsys):
    flags = ["--count", "4", "--neighbours", "3", "--batch-size", "7", "--output", "n.png"]
    assert main(["plot", "neighbours", "a", *flags]) == 0
    assert is_picture(here / "n.png")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and all("of 3 are" in line for line in lines[:4])
    assert main(["plot", "neighbours", "a", *flags, "--split", "train", "--layer", "fc2b"]) == 0
    refused(["plot", "neighbours", "a", "--layer", "fc9", "--output", "m.png"], capsys, "fc9", "fc2a")


def test_plot_features(here, capsys):
    for output in ("f.npy", "f.safetensors"):
        flags = ["--layer", "fc2", "--split", "train", "--output", output]
        assert main(["plot", "features", "a", *flags]) == 0
    assert "45 pictures, 16 features of fc2a, fc2b" in capsys.readouterr().out
    tensors = load_file("f.safetensors")
    np.testing.assert_array_equal(np.load("f.npy"), tensors["features"])
    np.testing.assert_array_equal(np.load("f.labels.npy"), np.arange(tiny_run.TRAIN) % 3)
    assert tensors["features"].shape == (tiny_run.TRAIN, 16)
    length = int.from_bytes((here / "f.safetensors").read_bytes()[:8], "little")
    header = json.loads((here / "f.safetensors").read_bytes()[8 : 8 + length])
    about = json.loads(header["__metadata__"]["alexnet_raw"])
    assert about["layers"] == ["fc2a", "fc2b"] and len(about["checkpoint"]["sha256"]) == 64
    refused(["plot", "features", "a", "--output", "f.txt"], capsys, ".npy")
    refused(["plot", "features", "a"], capsys, "--output")


def test_pictures_go_to_the_folder_of_the_run(here, capsys):
    assert main(["plot", "curves", "b"]) == 0
    assert main(["plot", "filters", "b"]) == 0
    assert "wrote b/curves.png" in capsys.readouterr().out
    assert is_picture(here / "b" / "curves.png") and is_picture(here / "b" / "filters.png")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], ["WHAT"]),
        (["costs"], ["costs", "curves"]),
        (["filters"], ["RUN"]),
        (["filters", "a", "--output", "x.jpg"], ["x.jpg", ".png or .pdf or .svg"]),
        (["filters", "a", "--output", "pictures"], ["pictures"]),
        (["filters", "no-such-run"], ["no-such-run"]),
        (["predictions", "a", "--count", "0"], ["--count", "'0'"]),
    ],
)
def test_plot_mistakes(here, capsys, arguments, said):
    refused(["plot", *arguments], capsys, *said)
