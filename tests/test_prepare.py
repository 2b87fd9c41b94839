"""Prepared stores: every kind of source, hostile pictures, resuming, and being read again."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import tarfile

import numpy as np
import pytest

from alexnet_raw import atomic, cli, data
from alexnet_raw.data import preparing, store

from .data_pictures import encode, hostile_files, printable, tar_of, write_folder

SIZE = 16


def prepare(src, dest, **options) -> dict[str, int]:
    options = {"threads": 2, "shard_pictures": 4, **options}
    return preparing.Preparation(preparing.open_pictures(src), dest, SIZE, **options).run()


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def splits(tmp_path, rng):
    write_folder(tmp_path / "src" / "train", {"cat": 5, "dog": 6}, rng)
    write_folder(tmp_path / "src" / "val", {"dog": 2, "cat": 3}, rng)
    return tmp_path / "src"


def assert_same_pictures(root, src, split) -> None:
    """A store against the folder that it was prepared from."""
    stored, folder = (data.open(path, split, size=SIZE) for path in (root, src))
    every = np.arange(len(folder))
    assert len(stored) == len(folder) and stored.classes == folder.classes
    assert stored.picture_shape == folder.picture_shape and stored.content_size == SIZE
    for got, want in zip(stored.load(every), folder.load(every), strict=True):
        assert np.array_equal(got, want) and got.dtype == want.dtype
    assert [stored.name(i) for i in every] == [os.path.relpath(folder.name(i), src) for i in every]


def test_a_folder(splits, tmp_path):
    assert prepare(splits, tmp_path / "store") == {"train": 11, "val": 5}
    for split in ("train", "val"):
        assert_same_pictures(tmp_path / "store", splits, split)
    assert not list(store.check(tmp_path / "store"))


def test_any_number_of_threads_writes_the_same_bytes(splits, tmp_path):
    for threads in (1, 3):
        prepare(splits, tmp_path / f"{threads}", threads=threads)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_random_order_and_out(splits, tmp_path, rng):
    prepare(splits, tmp_path / "store")
    source = data.open(tmp_path / "store", size=SIZE)
    every, order = source.load(np.arange(11))[0], rng.permutation(11)
    out = np.empty((11, SIZE, SIZE, 3), np.uint8)
    got, labels = source.load(order, out)
    assert got is out and np.array_equal(out, every[order])
    assert labels.tolist() == [int(i >= 5) for i in order]


def test_statistics_are_those_of_all_training_pictures(splits, tmp_path):
    prepare(splits, tmp_path / "store")
    source = data.open(tmp_path / "store", size=SIZE)
    got, pictures = data.statistics(source, limit=1), source.load(np.arange(11))[0]
    pixels = pictures.reshape(-1, 3).astype(np.float64)
    assert got.pictures == 11
    assert np.allclose(got.mean_image, pictures.mean(axis=0).transpose(2, 0, 1), rtol=1e-6)
    vectors = got.eigenvectors.astype(np.float64)
    restored = vectors @ np.diag(got.std_devs**2.0) @ vectors.T
    assert np.allclose(restored, np.cov(pixels.T, bias=True), atol=0.01)
    val = data.open(tmp_path / "store", "val", size=SIZE)
    assert data.statistics(val).pictures == 5


@pytest.mark.parametrize("suffix, mode", [("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz")])
@pytest.mark.parametrize("top", ["", "./", "photos/"])
def test_a_tar_of_a_folder(splits, tmp_path, suffix, mode, top):
    archive = tmp_path / f"set.{suffix}"
    with tarfile.open(archive, mode) as tar:
        tar.add(splits, arcname=top.rstrip("/") or "/")
    prepare(archive, tmp_path / "from tar")
    prepare(splits, tmp_path / "from folder")
    for split in ("train", "val"):
        a, b = (data.open(tmp_path / s, split, size=SIZE) for s in ("from tar", "from folder"))
        place = {a.name(i).removeprefix(top): i for i in range(len(a))}
        indices = np.array([place[b.name(i)] for i in range(len(b))])
        for got, want in zip(a.load(indices), b.load(np.arange(len(b))), strict=True):
            assert np.array_equal(got, want)


# ---- ILSVRC's own files

WORDS = {"n00000003": "tench, Tinca tinca", "n00000001": "goldfish", "n00000002": "crane"}
DEVKIT_ORDER = ["n00000003", "n00000001", "n00000002"]  # ILSVRC's numbers 1, 2, 3: not sorted


def colour(wnid: str, i: int) -> bytes:
    return encode(np.full((20, 24, 3), [80 * int(wnid[-1]), 10 * i, 0], np.uint8), "PNG")


def devkit(path, year: str) -> None:
    import scipy.io

    kinds = [(f"ILSVRC{year}_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    rows = [(i + 1, wnid, WORDS[wnid], 0) for i, wnid in enumerate(DEVKIT_ORDER)]
    rows.append((4, "n00000009", "animal", 3))
    synsets = np.array(rows, kinds).reshape(-1, 1)
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": synsets})
    top = path.name.removesuffix(".tar.gz")
    truth = f"{top}/data/ILSVRC{year}_validation_ground_truth.txt"
    tar_of(path, {f"{top}/data/meta.mat": meta.getvalue(), truth: b"1\n3\n2\n2\n"}, "w:gz")


@pytest.fixture(params=["2012", "2010", "unpacked"])
def ilsvrc(request, tmp_path):
    pytest.importorskip("scipy")
    year = "2010" if request.param == "2010" else "2012"
    images = "images" if year == "2010" else "img"
    src = tmp_path / "downloads"
    src.mkdir()
    inner = {}
    for wnid in reversed(WORDS):
        tar_of(tmp_path / "x", {f"{wnid}_{i}.JPEG": colour(wnid, i) for i in range(3)})
        inner[f"{wnid}.tar"] = (tmp_path / "x").read_bytes()
    if request.param == "unpacked":
        for name, content in inner.items():
            (src / name).write_bytes(content)
    else:
        tar_of(src / f"ILSVRC{year}_{images}_train.tar", inner)
    val = [DEVKIT_ORDER[number - 1] for number in (1, 3, 2, 2)]
    files = {f"ILSVRC{year}_val_{i + 1:08}.JPEG": colour(wnid, 9) for i, wnid in enumerate(val)}
    tar_of(src / f"ILSVRC{year}_{images}_val.tar", dict(reversed(files.items())))
    kit = "devkit-1.0" if year == "2010" else "devkit_t12"
    devkit(src / f"ILSVRC{year}_{kit}.tar.gz", year)
    return src


def test_ilsvrc(ilsvrc, tmp_path):
    assert prepare(ilsvrc, tmp_path / "store") == {"train": 9, "val": 4}
    train, val = (data.open(tmp_path / "store", split, size=SIZE) for split in ("train", "val"))
    assert train.classes == val.classes == sorted(WORDS)
    assert train.words == ["goldfish", "crane", "tench, Tinca tinca"]
    pictures, labels = train.load(np.arange(9))
    assert labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert (pictures[:, 5, 5, 0] // 80 - 1).tolist() == labels.tolist()
    assert pictures[:, 5, 5, 1].tolist() == [0, 10, 20] * 3
    assert train.name(4) == "n00000002/n00000002_1.JPEG"
    pictures, labels = val.load(np.arange(4))
    assert labels.tolist() == [2, 1, 0, 0]  # ILSVRC's 1, 3, 2, 2
    assert (pictures[:, 5, 5, 0] // 80 - 1).tolist() == labels.tolist()


def test_validation_of_missing_classes_is_left_out(ilsvrc, tmp_path):
    if (ilsvrc / "n00000001.tar").exists():
        (ilsvrc / "n00000001.tar").unlink()
        assert prepare(ilsvrc, tmp_path / "store") == {"train": 6, "val": 2}


def test_validation_needs_the_devkit(ilsvrc, tmp_path):
    for kit in ilsvrc.glob("*devkit*"):
        kit.unlink()
    with pytest.raises(data.DataError, match=r"val.tar needs its labels: put ILSVRC2012_devkit"):
        prepare(ilsvrc, tmp_path / "store")


def test_a_truncated_archive_names_the_member(ilsvrc, tmp_path):
    for train in ilsvrc.glob("*train.tar"):
        with tarfile.open(train) as tar:
            last = tar.getmembers()[-1]
        train.write_bytes(train.read_bytes()[: last.offset_data + 700])
        with pytest.raises(data.DataError, match=rf"train.tar is cut short inside {last.name}"):
            prepare(ilsvrc, tmp_path / "store")


def test_truncated_and_damaged_tars(splits, tmp_path):
    archive = tmp_path / "set.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(splits, arcname="set")
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if m.isfile()]
    whole = archive.read_bytes()
    archive.write_bytes(whole[: members[3].offset_data + 10])
    with pytest.raises(data.DataError, match=rf"set.tar is cut short inside {members[3].name}"):
        preparing.open_pictures(archive)
    archive.write_bytes(whole[: members[3].offset] + b"x" * 512 + whole[members[3].offset + 512 :])
    with pytest.raises(data.DataError, match=rf"set.tar is damaged .* behind {members[2].name}"):
        preparing.open_pictures(archive)
    archive.write_bytes(b"no tar at all" * 99)
    with pytest.raises(data.DataError, match=r"set.tar is damaged or cut short"):
        preparing.open_pictures(archive)
    archive.write_bytes(gzip.compress(whole)[:-500])
    with pytest.raises(data.DataError, match=r"set.tar is damaged or cut short"):
        prepare(archive, tmp_path / "store")


# ---- hostile pictures


def write_hostile(folder) -> set[str]:
    """Files in a folder; returns the names of the broken ones."""
    files = hostile_files()
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    (folder / "dangling.jpg").symlink_to(folder / "nowhere")
    return {name for name, (_, reason) in files.items() if reason} | {"folder.jpg", "dangling.jpg"}


@pytest.mark.parametrize("kind", ["folder", "tar", "tar.gz"])
def test_hostile_pictures(splits, tmp_path, kind, caplog):
    broken = write_hostile(splits / "train" / "cat")
    src = splits
    if kind != "folder":
        src = tmp_path / f"set.{kind}"
        with tarfile.open(src, "w:gz" if kind == "tar.gz" else "w") as tar:
            tar.add(splits, arcname="set")
    good = len(hostile_files()) + 2 - len(broken)
    assert prepare(src, tmp_path / "store") == {"train": 11 + good, "val": 5}
    listed = (tmp_path / "store" / store.BROKEN).read_text()
    messages = "\n".join(caplog.messages)
    for name in broken:
        reason = hostile_files().get(name, ("", ""))[1]
        for text in (messages, listed):
            lines = [line for line in text.splitlines() if f"cat/{printable(name)}" in line]
            assert len(lines) == 1 and reason in lines[0], (name, text)
    assert len(listed.splitlines()) == len(broken)
    source = data.open(tmp_path / "store", size=SIZE)
    names = {os.path.basename(source.name(i)) for i in range(len(source))}
    assert {"good latin-\udce9.jpg", "good new\nline.jpg"} <= names and not names & broken
    folder = data.open(splits, size=SIZE)  # the same in a folder that is not prepared
    assert len(folder) == 11 + good
    assert {os.path.basename(name) for name in folder.broken} == broken


def test_all_broken(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "src" / name).mkdir(parents=True)
        (tmp_path / "src" / name / "1.jpg").write_text("no")
    with pytest.raises(data.DataError, match="none of the train pictures can be read"):
        prepare(tmp_path / "src", tmp_path / "store")
    with pytest.raises(data.DataError, match="only partly prepared"):
        data.open(tmp_path / "store", size=SIZE)


# ---- resuming, refusing, checking


def interrupted(src, dest, after: int) -> None:
    """As if killed when so many pictures were done."""
    done = 0

    def tick(pictures):
        nonlocal done
        done += pictures
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pictures = preparing.open_pictures(src)
        preparing.Preparation(pictures, dest, SIZE, threads=1, shard_pictures=4).run(tick)


def test_resuming_makes_what_is_missing_only(splits, tmp_path):
    prepare(splits, tmp_path / "whole")
    interrupted(splits, tmp_path / "store", 9)
    (tmp_path / "store" / ".train-00002.npy.tmp").write_bytes(b"left by kill -9")
    before = (tmp_path / "store" / "train-00000.npy").stat().st_mtime_ns
    with pytest.raises(data.DataError, match="partly prepared: run the same"):
        data.open(tmp_path / "store", size=SIZE)
    rest = preparing.Preparation(
        preparing.open_pictures(splits), tmp_path / "store", SIZE, shard_pictures=4
    )
    assert (rest.done, rest.total, rest.complete) == (8, 16, False)
    rest.run()
    assert (tmp_path / "store" / "train-00000.npy").stat().st_mtime_ns == before
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")


def test_refusing(splits, tmp_path):
    interrupted(splits, tmp_path / "store", 9)
    pictures = preparing.open_pictures(splits)
    with pytest.raises(data.DataError, match=r"was begun with --size 16, not 20: give that"):
        preparing.Preparation(pictures, tmp_path / "store", 20, shard_pictures=4)
    (splits / "val" / "dog" / "1.png").unlink()
    with pytest.raises(data.DataError, match="prepared from other pictures"):
        prepare(splits, tmp_path / "store")
    with pytest.raises(data.DataError, match="holds other files; name a new or empty folder"):
        prepare(splits, splits)
    with pytest.raises(data.DataError, match="is a prepared store already"):
        prepare(tmp_path / "store", tmp_path / "again")
    with pytest.raises(data.DataError, match="no such file or folder"):
        prepare(tmp_path / "none", tmp_path / "again")


def test_two_at_once(splits, tmp_path):
    (tmp_path / "store").mkdir()
    with (
        atomic.held(tmp_path / "store", AssertionError()),
        pytest.raises(data.DataError, match="another 'alexnet-raw prepare' is at work there"),
    ):
        prepare(splits, tmp_path / "store")


def test_too_little_space_is_told_before(splits, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10_000})
    monkeypatch.setattr(preparing.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        data.DataError, match=r"16 pictures of 16 x 16 take 12.3kB, .* only 10.0kB are free"
    ):
        prepare(splits, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_full_disk(splits, tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 6:
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(data.DataError, match=r"No space left on device: .* run the same command again"):
        prepare(splits, tmp_path / "store")
    monkeypatch.undo()
    prepare(splits, tmp_path / "store")
    assert not list((tmp_path / "store").glob(".*"))
    assert_same_pictures(tmp_path / "store", splits, "train")


@pytest.mark.parametrize("damage", ["flip", "cut", "header", "record", "gone"])
def test_damaged_shards(splits, tmp_path, damage, caplog):
    root = tmp_path / "store"
    prepare(splits, root)
    whole = contents(root)
    file = root / ("train-00001.npz" if damage == "record" else "train-00001.npy")
    content = bytearray(file.read_bytes())
    if damage in ("flip", "record"):
        content[200] ^= 1
    elif damage == "header":
        content[:6] = b"broken"
    file.write_bytes(content[:700] if damage == "cut" else content)
    if damage == "gone":
        file.unlink()
    lines = list(store.check(root))
    assert len(lines) == 1 and file.name in lines[0]
    if damage != "flip":  # only reading everything finds that
        with pytest.raises(data.DataError, match=rf"{file.name}.* prepare it again with --verify"):
            data.open(root, size=SIZE)
    prepare(splits, root, verify=True)
    assert contents(root) == whole


def test_opening_a_store(splits, tmp_path):
    root = tmp_path / "store"
    prepare(splits, root)
    with pytest.raises(data.DataError, match=r"size 16, this net wants size 36: .* --size 36"):
        data.open(root, size=36)
    renamed = data.open(root, size=SIZE, classes=["dog", "eel", "cat"])
    assert renamed.load(np.arange(11))[1].tolist() == [2] * 5 + [0] * 6
    with pytest.raises(data.DataError, match=r"it has pictures of dog; the training classes are cat"):
        data.open(root, size=SIZE, classes=["cat", "eel"])
    manifest = json.loads((root / store.MANIFEST).read_text())
    (root / store.MANIFEST).write_text(json.dumps({**manifest, "format": "alexnet-raw pictures 9"}))
    with pytest.raises(data.DataError, match="has format 'alexnet-raw pictures 9'"):
        data.open(root, size=SIZE)
    shards = {"train": [{"file": "train-00000", "pictures": 3}]}
    for damage in ({"size": "x"}, {"words": []}, {"splits": []}, {"splits": shards}):
        (root / store.MANIFEST).write_text(json.dumps({**manifest, **damage}))
        with pytest.raises(data.DataError, match=r"store.json is damaged; remove the folder"):
            data.open(root, size=SIZE)
    (root / store.MANIFEST).write_text("{")
    with pytest.raises(data.DataError, match=r"store.json is damaged; remove the folder"):
        data.open(root, size=SIZE)
    with pytest.raises(data.DataError, match=r"store.json is damaged; remove the folder"):
        prepare(splits, root)


def test_damaged_statistics_are_made_anew(splits, tmp_path):
    root = tmp_path / "store"
    prepare(splits, root)
    whole = contents(root)
    (root / store.STATISTICS).write_bytes(b"PK damaged")
    with pytest.raises(data.DataError, match=r"statistics.npz .* prepare it again with --verify"):
        data.open(root, size=SIZE)
    prepare(splits, root, verify=True)
    assert contents(root) == whole


def test_cifars_binary_files_need_no_preparing(tmp_path):
    (tmp_path / "test_batch.bin").touch()
    with pytest.raises(data.DataError, match=r"need no preparing: train with --data"):
        prepare(tmp_path, tmp_path / "store")


def test_no_validation_pictures(tmp_path, rng):
    write_folder(tmp_path / "src", {"a": 2, "b": 1}, rng)
    assert prepare(tmp_path / "src", tmp_path / "store") == {"train": 3}
    with pytest.raises(data.NoValidationPictures):
        data.open(tmp_path / "store", "val", size=SIZE)


# ---- the command


def test_the_command(splits, tmp_path, capsys):
    (splits / "train" / "cat" / "bad\n.jpg").write_text("no")
    root, flags = str(tmp_path / "store"), ["--size", "16"]
    assert cli.main(["prepare", str(splits), root, *flags]) == 0
    out, errors = capsys.readouterr()
    assert "17 pictures of 2 classes" in out and "prepared 11 train and 5 val pictures" in out
    assert "1 pictures could not be read and were left out: see" in out
    assert r"cat/bad\n.jpg': left out: the file holds no picture" in errors
    assert cli.main(["prepare", str(splits), root, *flags]) == 0
    assert "already complete, from the 17 pictures" in capsys.readouterr().out
    assert cli.main(["prepare", "--verify", root]) == 0
    assert "all checksums are right" in capsys.readouterr().out
    shard = tmp_path / "store" / "val-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    assert cli.main(["prepare", "--verify", root]) == 2
    assert "1 damaged" in capsys.readouterr().err
    assert cli.main(["prepare", str(splits), root, *flags, "--verify"]) == 0
    assert cli.main(["prepare", root]) == 2
    assert "DEST is missing" in capsys.readouterr().err


def test_unused_logger_is_quiet(splits, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        prepare(splits, tmp_path / "store")
    assert not caplog.messages
