"""Short names of classes."""

from __future__ import annotations

from alexnet_raw.class_names import cut, output_names, readable, short_names


def test_ilsvrc_names():
    names = ["n02123045 tabby, tabby cat", "n02012849 crane", "n03126707 crane", "n01440764", "boat"]
    assert short_names(names) == [
        "tabby",
        "crane (n02012849)",
        "crane (n03126707)",
        "n01440764",
        "boat",
    ]


def test_names_that_would_be_the_same_stay_whole():
    assert short_names(["mouse, animal", "mouse, device"]) == ["mouse, animal", "mouse, device"]


def test_odd_names():
    assert short_names(["", ",", "n1234 x", "n02123045_tabby", " a "]) == [
        "",
        ",",
        "n1234 x",
        "tabby",
        "a",
    ]


def test_long_names_are_cut():
    assert short_names(["a very long name of a class"], 10) == ["a very lo…"]
    assert cut("abcdef", 6) == "abcdef"
    assert cut("ab cdefg", 4) == "ab…"


def test_outputs_of_no_class_have_a_name():
    assert output_names(["a", "b"], 4) == ["a", "b", "(output 2)", "(output 3)"]
    assert output_names(["a"], 1) == ["a"]


def test_words_stand_beside_what_they_explain():
    classes = ["n01440764", "n02012849", "n03126707", "dog"]
    names = readable(classes, ["tench, Tinca tinca", "crane", "crane", "dog"])
    assert names[0] == "n01440764 tench, Tinca tinca" and names[3] == "dog"
    assert short_names(names) == ["tench", "crane (n02012849)", "crane (n03126707)", "dog"]


def test_names_stay_on_one_line():
    assert short_names(["new\nline", "a"]) == [r"'new\nline'", "a"]
