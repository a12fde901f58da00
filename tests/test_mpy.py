"""The portable tests on real MicroPython, the compile gate for a device, and the tool that gets the interpreters."""

import ast
import os
import re
import subprocess
import sys
import time

import pytest

from tools import ROOT, mpy, size

RUNNER = os.path.join(ROOT, "tests", "portable", "run.py")
TIMEOUT_S = 240
HEAP = "heapsize=16M"  # these tests are about behaviour; those about heap set their own limit


def micropython(bits):
    """The launcher; without one the test fails and says what is missing, unless ALLOW_NO_MPY=1."""
    try:
        return mpy.launcher(bits)
    except mpy.MissingMicroPython as error:
        if os.environ.get("ALLOW_NO_MPY") == "1":
            pytest.skip("NOT TESTED ON MICROPYTHON, because ALLOW_NO_MPY=1: %s" % error)
        pytest.fail(str(error), pytrace=False)


def count_portable_tests():
    """Test functions written in tests/portable: the least that must have run."""
    n = 0
    folder = os.path.dirname(RUNNER)
    for name in sorted(os.listdir(folder)):
        if name.startswith("test_") and name.endswith(".py"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                tree = ast.parse(file.read())
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            n += len({node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")})
    return n


@pytest.mark.parametrize("bits", (64, 32))
def test_portable_tests_pass_on_micropython(bits, show_figure):
    command = [micropython(bits), "-X", HEAP, RUNNER]
    started_s = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    output = done.stdout + done.stderr
    last_line = (done.stdout.strip().splitlines() or [""])[-1]
    counts = re.match(r"(\d+) passed, (\d+) failed$", last_line)
    if done.returncode or not counts:
        pytest.fail("MicroPython %d-bit ended with code %d:\n%s" % (bits, done.returncode, output), pytrace=False)
    assert int(counts.group(1)) >= count_portable_tests(), output
    elapsed_s = time.monotonic() - started_s
    show_figure("portable tests on MicroPython, %d-bit: %s in %.1f s" % (bits, last_line, elapsed_s))


def test_a_failing_portable_test_is_seen_on_micropython(tmp_path):
    """A runner that swallowed failures would make the test above worthless."""
    portable = tmp_path / "tests" / "portable"
    portable.mkdir(parents=True)
    (portable / "run.py").write_text(open(RUNNER, encoding="utf-8").read())
    (portable / "test_a.py").write_text("def test_right():\n    pass\n\ndef test_wrong():\n    assert 1 == 2, 'odd'\n")
    (portable / "test_b.py").write_text("import no_such_module\n")
    (portable / "test_c.py").write_text("async def test_async():\n    raise ValueError('seen')\n")
    for interpreter in (sys.executable, micropython(64)):
        done = subprocess.run(
            [interpreter, str(portable / "run.py")], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert done.stdout.strip().endswith("1 passed, 3 failed"), done.stdout
        for text in ("test_a.test_wrong", "odd", "no_such_module", "test_c.test_async", "seen", "line 5"):
            assert text in done.stdout


def test_every_device_file_compiles_for_the_device(tmp_path, show_figure):
    rows = size.compile_device_files(size.device_files(), str(tmp_path))
    assert not [(file, error) for file, _, _, error in rows if error]
    assert len(rows) > 10, "the patterns find too few files"
    show_figure("device files: %d, %d bytes as .mpy" % (len(rows), sum(row[2] for row in rows)))


def test_the_compile_gate_refuses_what_a_device_cannot_run(tmp_path):
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "bad.py").write_text("match 1:\n    case 1:\n        pass\n")
    (file, _, mpy_bytes, error), *rest = size.compile_device_files(
        size.device_files(str(tmp_path)), str(tmp_path / "out"), str(tmp_path)
    )
    assert (file, mpy_bytes, rest) == (os.path.join("firmware", "bad.py"), 0, [])
    assert "SyntaxError" in error


@pytest.mark.parametrize("file", size.device_files())
def test_no_device_file_is_too_large_to_be_compiled_on_the_device(file):
    assert os.path.getsize(os.path.join(ROOT, file)) <= size.SOURCE_LIMIT_BYTES


# -- tools/mpy.py: reading the machine's apt sources


DEB822 = """\
# a comment
Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL0BUBEADmW5N

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://vendor.example/apt
Suites: bookworm
Components: main
Trusted: yes
"""


def test_deb822_sources_are_read_with_continuations_and_switched_off_ones_left_out():
    first, second = mpy.parse_deb822(DEB822)
    assert first["uris"] == "http://mirror.example/debian"
    assert first["suites"].split() == ["bookworm", "bookworm-updates"]
    assert first["signed-by"].splitlines()[1:3] == [" -----BEGIN PGP PUBLIC KEY BLOCK-----", " ."]
    assert second["uris"] == "http://vendor.example/apt"


def test_one_line_sources_are_read_with_their_options():
    text = (
        "# deb http://off.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/keys/debian.gpg] http://mirror.example/debian bookworm main contrib # note\n"
        "deb-src http://mirror.example/debian bookworm main\n"
    )
    (source,) = mpy.parse_one_line(text)
    assert source["uris"] == "http://mirror.example/debian"
    assert source["signed-by"] == "/keys/debian.gpg"
    assert source["components"] == "main contrib"


def test_debian_itself_is_tried_before_a_vendor_who_names_suites_alike(tmp_path, monkeypatch):
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "deb http://vendor.example/apt bookworm main\n"
        "deb http://security.example/debian-security bookworm-security main\n"
        "deb http://other.example/ubuntu noble main universe\n"
    )
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    sources = mpy.apt_sources(str(tmp_path))
    assert len(sources) == 5
    monkeypatch.setattr(mpy, "apt_sources", lambda: sources)
    uris = [source["uris"] for source in mpy._archives(64, [])]
    assert uris == ["http://mirror.example/debian", "http://vendor.example/apt", "http://vendor.example/apt"]


def test_our_source_keeps_the_key_and_drops_what_loosens_the_check():
    source = {"uris": "http://m.example/debian", "suites": "bookworm", "signed-by": "/k.gpg", "trusted": "yes"}
    stanza = mpy._stanza(source, "i386")
    assert "Signed-By: /k.gpg" in stanza.replace("signed-by", "Signed-By")
    assert "Suites: " + mpy.SUITE in stanza
    assert "Architectures: i386" in stanza
    assert "trusted" not in stanza.lower()


def test_without_apt_the_missing_part_and_the_cure_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MICROPYTHON_64", raising=False)
    with pytest.raises(mpy.MissingMicroPython) as caught:
        mpy.launcher(64, str(tmp_path / "cache"))
    text = str(caught.value)
    assert "this machine has no apt-get" in text
    assert "MICROPYTHON_64=" in text and "ALLOW_NO_MPY=1" in text


def test_an_old_or_broken_micropython_on_the_path_is_refused_with_its_reason(tmp_path, monkeypatch):
    program = tmp_path / "micropython"
    program.write_text("#!/bin/sh\necho 64 1 19 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", "%s:/bin:/usr/bin" % tmp_path)
    monkeypatch.delenv("MICROPYTHON_64", raising=False)
    monkeypatch.delenv("MICROPYTHON_32", raising=False)
    refusals = []
    assert mpy.present(64, str(tmp_path / "cache"), refusals) is None
    assert "version 1.19.1 is older than 1.24" in refusals[0]
    program.write_text("#!/bin/sh\necho 'no module named tls' >&2; exit 1\n")
    refusals = []
    assert mpy.present(64, str(tmp_path / "cache"), refusals) is None
    assert "no module named tls" in refusals[0]
    program.write_text("#!/bin/sh\necho 64 1 26 0\n")
    assert mpy.present(64, str(tmp_path / "cache")) == str(program)
    assert mpy.present(32, str(tmp_path / "cache")) is None


def test_apt_errors_are_shown_without_the_mirror(monkeypatch):
    line = "E: Failed to fetch http://user:secret@mirror.example/debian/x  Could not resolve 'mirror.example'"
    shown = mpy._without_addresses(line, {"uris": "http://user:secret@mirror.example/debian"})
    assert "mirror.example" not in shown and "secret" not in shown
    assert "Could not resolve" in shown


# -- python -m tools


def run_tools(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tools", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_help_names_every_verb():
    done = run_tools("--help")
    assert done.returncode == 0
    for verb in ("demo", "sim", "cloud", "config", "size", "mpy"):
        assert re.search(r"^  %s +\S" % verb, done.stdout, re.MULTILINE)


def test_a_mistyped_verb_gets_a_suggestion():
    done = run_tools("cluod")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'cloud'?" in done.stderr


def test_a_users_mistake_is_a_sentence_and_not_a_stack_trace():
    for arguments in (("config", "check", "/nowhere/config.json"), ("mpy", "--bits", "16"), ("size", "--what")):
        done = run_tools(*arguments)
        assert done.returncode in (1, 2), done
        assert "Traceback" not in done.stderr
        assert done.stderr.strip()
