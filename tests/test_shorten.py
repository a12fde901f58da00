"""`--small`: shorter names must leave the program what it is. The portable tests run on the whole tree with them."""

import os
import re
import shutil
import subprocess

import pytest
from test_mpy import HEAP, TIMEOUT_S, count_portable_tests, micropython

from tools import ROOT, ToolError, shorten, size

SOURCES = {
    "base.py": '''
class Base:
    def __init__(self, _first, second):
        self._first = _first
        self._second = second

    def _sum(self):
        return self._first + self._second

    def total(self, extra=0):
        return self._sum() + extra
''',
    "derived.py": '''
from base import Base
from helper import _scale, shown
import helper

_LIMIT = 7


class Derived(Base):
    def __init__(self, number):
        super().__init__(number, 2)
        self._number = number  # not the name that Base has for its first one

    def total(self, extra=0):
        return _scale(super().total(extra=extra)) + self._number + helper._OFFSETS[0]

    def closure(self, number, unit):
        def inner(number):
            return number + unit

        return [inner(number) for number in range(number)] + [unit(1) if callable(unit) else number]

    def caught(self, error):
        try:
            raise ValueError(str(error))
        except ValueError as error:
            return shown(self, "_number"), _LIMIT, error.args[0]
''',
    "helper.py": '''
import io

_OFFSETS = [100]


def _scale(value, *, times=10):
    global _last
    _last = value
    return value * times


def shown(thing, name):
    return getattr(thing, name)


class Strange(io.IOBase):
    def _overrides(self):
        return self._nobody_knows
''',
    "main.py": '''
import derived

d = derived.Derived(3)
result = (d.total(extra=1), d.closure(3, 5), d.caught(KeyError("x")), derived.helper._last)
''',
}  # fmt: skip


def run(texts, folder):
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    code = "import sys; sys.path.insert(0, %r); import main; print(main.result)" % str(folder)
    done = subprocess.run([micropython(64), "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program():
    files = size.device_files()
    return shorten.Program(size.read_sources(files))


def test_a_program_does_the_same_with_shorter_names(tmp_path):
    small = shorten.Program(SOURCES).texts
    (tmp_path / "plain").mkdir()
    (tmp_path / "small").mkdir()
    assert run(SOURCES, tmp_path / "plain") == run(small, tmp_path / "small") == "(163, [5, 6, 7, 3], (3, 7, 'x'), 6)\n"


def test_what_changes_and_what_is_kept():
    texts = shorten.Program(SOURCES).texts
    everything = "\n".join(texts.values())
    assert "self._number" in texts["derived.py"], "it stands in a string"
    assert "extra=extra" in texts["derived.py"] and "total(self, extra=0)" in texts["base.py"], "keywords"
    assert "*, times=10" in texts["helper.py"], "may be given by name only"
    assert "def _overrides" in texts["helper.py"] and "self._nobody_knows" in texts["helper.py"]
    for name in ("_first", "_second", "_sum", "_scale", "_OFFSETS", "_last", "second", "thing"):
        assert not re.search(r"\b%s\b" % name, everything), name
    names = re.findall(r"self\.(_\w) = ", texts["base.py"] + texts["derived.py"])
    assert len(names) == len(set(names)) == 2, "an object has attributes of both modules"
    assert "def closure(self, number, " in texts["derived.py"], "a scope inside has this name too"


def test_what_cannot_be_done_is_refused():
    with pytest.raises(ToolError, match=r"a\.py is not Python"):
        shorten.Program({"a.py": "def f(:\n"})
    with pytest.raises(ToolError, match="f-strings"):
        shorten.Program({"a.py": "def f(name):\n    return f'{name}'\n"})


def test_nothing_but_names_changes(program):
    """The same text but for the words: no line moves, and no string or comment of a report changes."""
    words = re.compile(r"\b[A-Za-z_]\w*\b")
    for file, text in program.texts.items():
        source = open(os.path.join(ROOT, file), encoding="utf-8").read()
        assert words.sub("", text) == words.sub("", source), file
        assert text.count("\n") == source.count("\n")


def test_most_private_names_are_gone(program):
    private = re.compile(r"(?<![\w\"'])_[a-z][a-z_]{3,}\b")
    for file in ("firmware/audio/player.py", "firmware/net/link.py", "firmware/session/runner.py"):
        code = "\n".join(line.partition("#")[0] for line in program.texts[file].splitlines())
        assert len(set(private.findall(code))) <= 3, set(private.findall(code))


def test_a_traceback_has_its_names_again(program):
    choose = r"    def (\w+)\(self\):\n        \"\"\"Prepare the next frame"
    short = re.search(choose, program.texts["firmware/net/link.py"]).group(1)
    text = 'task died: File "link", line 1, in %s\n  File "firmware/session/runner.py", line 1, in post\n' % short
    assert program.real_text(text) == (
        'task died: File "firmware/net/link.py", in _choose\n  File "firmware/session/runner.py", in post\n'
    )
    ours = 'File "elsewhere", line 3, in _a'
    assert program.real_text(ours) == ours


def test_the_portable_tests_pass_with_shorter_names(tmp_path, show_figure):
    """All of the program, its tests included, goes through the same step."""
    folders = (
        "firmware", "lib", "boards", "tests/portable", "tools/bench/device", "tools/sim/standins", "tools/sim/simworld",
    )  # fmt: skip
    files = []
    for folder in folders:
        for place, _, names in os.walk(os.path.join(ROOT, folder)):
            files += [os.path.relpath(os.path.join(place, name), ROOT) for name in names if name.endswith(".py")]
    for file, text in shorten.Program(size.read_sources(files)).texts.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    shutil.copytree(os.path.join(ROOT, "tests", "corpus"), tmp_path / "tests" / "corpus")
    runner = str(tmp_path / "tests" / "portable" / "run.py")
    command = [micropython(64), "-X", HEAP, runner]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    last_line = (done.stdout.strip().splitlines() or [""])[-1]
    counts = re.match(r"(\d+) passed, (\d+) failed$", last_line)
    assert done.returncode == 0 and counts, done.stdout + done.stderr
    assert int(counts.group(1)) >= count_portable_tests()
    show_figure("portable tests with short names: %s" % last_line)
