"""The fuzzer finds a planted fault, keeps the input, and is done when its time is."""

import json_strict
import pytest

from tools import ToolError, fuzz

MOST_RUNS = 40_000  # always the same ones, however fast they are; seed 8 needs 2 561


class Planted:
    """Targets in the place of ours: one breaks on what only a guided search comes upon soon."""

    @staticmethod
    def check(data):
        try:
            value = json_strict.loads(data)
        except json_strict.JSONError:
            return
        assert not isinstance(value, dict) or "\x07" not in value, "planted"

    TARGETS = {"config": check}
    ONCE = {"config": check}


def test_a_planted_fault_is_found_and_its_input_kept_once(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "CORPUS", str(tmp_path))
    monkeypatch.setattr(fuzz, "targets", lambda: Planted)
    monkeypatch.setitem(fuzz._WORDS, "config", [b'"\\u0007":1,', b"{", b"}"])
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "seed").write_bytes(b'{"a": 1}')
    search = fuzz.Fuzz("config", 8, keeps=False)
    search.begin()
    while not search.crashes and search.runs < MOST_RUNS:
        search.step()
    ((file, text),) = search.crashes
    assert "planted" in text and file.startswith("crash-")
    with pytest.raises(AssertionError, match="planted"):
        Planted.check((tmp_path / "config" / file).read_bytes())


def test_without_a_corpus_there_is_nothing_to_mutate(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "CORPUS", str(tmp_path))
    with pytest.raises(ToolError, match="holds no input"):
        fuzz.Fuzz("ws", 1, keeps=False).begin()
