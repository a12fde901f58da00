"""deploy against the stand-in: what travels, what stays, and that a cut at any byte leaves a whole application."""

import contextlib
import json
import os
import shutil
import time

import pytest
from mpremote.transport_serial import SerialTransport
from repl_stand_in import Faults, StandIn

from tools import ROOT, ToolError
from tools.board import deploy, repl, tree
from tools.board.repl import BoardLost, Repl

BLOCKS = 96
_START = '''
import json, os
def main(slot=None):
    from firmware import helper
    print('RUNS', %r, helper.TEXT)
    works = %r
    if works is None:
        return 0
    if works:
        with open('slots/state.json.new', 'w') as file:
            json.dump({'good': slot, 'trial': None, 'starts': 0}, file)
        os.rename('slots/state.json.new', 'slots/state.json')
        print(json.dumps({'kind': 'slot', 'slot': slot, 'text': 'good from now on'}))
        return 0
    raise ValueError('broken')
'''


def read(name):
    with open(os.path.join(ROOT, name), "rb") as file:
        return file.read()


def application(version, works=True, extra=None, helper="help"):
    """A small application behind the real main.py; says RUNS and its version, then confirms itself, or breaks.

    works: None ends without either, as one that Ctrl-C ended before it came to rest.
    """
    files = {
        "firmware/__init__.py": b"",
        "firmware/start.py": (_START % (version, works)).encode(),
        "firmware/helper.py": ("TEXT = %r\n" % helper).encode() + b"# filling, to be cut in\n" * 60,
        "lib/same.py": b"# the same in all versions\n" * 40,
    }
    files.update(extra or {})
    loose = {"main.py": read("main.py"), "boot.py": b"# nothing\n"}
    return tree.Tree(version, files, loose, [])


def install(port, built):
    """Write and start it, and do not wait for what comes of it."""
    with Repl(port) as board:
        done = deploy.install(board, built)
        board.reset()
    return done


def install_and_wait(port, built, on_line=None):
    """(what was installed, how its trial ended)"""
    with Repl(port) as board:
        done = deploy.install(board, built)
        connection = board.reset(is_followed=True)
    with contextlib.closing(deploy.lines(connection, time.monotonic() + 20)) as said:
        return done, deploy.wait_for_trial(said, done.slot, on_line)


def started(stand_in):
    """What the application said after the start, once it has ended and the prompt is there, or the power has gone.

    Also what a test does before it connects, so that no Ctrl-C ends the start at another place in each run.
    """
    end_s = time.monotonic() + 20
    while not stand_in.seen.endswith(b">>> ") and not stand_in.is_off:
        assert time.monotonic() < end_s, stand_in.seen
        time.sleep(0.005)
    return [line for line in stand_in.seen.decode(errors="replace").splitlines() if line.startswith("RUNS")]


@pytest.fixture
def flash(tmp_path):
    return tmp_path / "flash"


@pytest.fixture(scope="module")
def version_1(tmp_path_factory):
    """A flash with version 1 on it, confirmed."""
    flash = tmp_path_factory.mktemp("version-1") / "flash"
    with StandIn(flash, BLOCKS) as board:
        done, result = install_and_wait(board.port, application("1"))
        assert result.is_confirmed, result.text
    return flash


@pytest.fixture
def board(version_1, flash):
    shutil.copy(version_1, flash)
    with StandIn(flash, BLOCKS) as stand_in:
        started(stand_in)
        yield stand_in


def test_a_blank_board_gets_slot_a_on_trial_and_it_confirms(flash):
    with StandIn(flash, BLOCKS) as board:
        done, result = install_and_wait(board.port, application("1"))
        assert done.slot == "a" and result.is_confirmed
        with Repl(board.port) as session:
            assert json.loads(session.read_file("/slots/state.json")) == {"good": "a", "trial": None, "starts": 0}
            assert session.listdir("/slots/a") == ["firmware", "lib", "manifest.json"]
            assert session.read_file("/main.py") == read("main.py")


def test_only_what_changed_is_sent_and_the_rest_copied_on_the_board(board):
    second = application("2", helper="new")
    before = board.bytes_in
    done, result = install_and_wait(board.port, second)
    assert done.slot == "b" and result.is_confirmed
    changed = ("firmware/start.py", "firmware/helper.py")
    assert done.sent_bytes == sum(len(second.files[path]) for path in changed)
    assert (done.copied, done.kept) == (2, 0)
    assert board.bytes_in - before < 16000  # the commands around them included
    third = application("3", helper="new")
    done = install(board.port, third)
    assert done.slot == "a" and done.sent_bytes == len(third.files["firmware/start.py"])


def test_the_same_version_is_left_alone_unless_forced(board):
    with Repl(board.port) as session:
        writes = session.exec("import os\nprint(os.stat('/slots/state.json')[8])")
        done = deploy.install(session, application("1"))
        assert done.slot is None and "already" in done.text
        assert session.exec("import os\nprint(os.stat('/slots/state.json')[8])") == writes
        assert deploy.install(session, application("1"), is_forced=True).slot == "b"


def test_a_file_that_was_spoilt_on_the_board_is_sent_again(board):
    with Repl(board.port) as session:
        session.write_file("/slots/a/lib/same.py", b"x" * len(application("1").files["lib/same.py"]))
        done = deploy.install(session, application("2"))
        assert session.read_file("/slots/b/lib/same.py") == application("2").files["lib/same.py"]
        assert done.sent_bytes >= len(application("2").files["lib/same.py"])


def test_files_of_an_older_version_go_from_the_slot(board):
    with Repl(board.port) as session:
        deploy.install(session, application("2", extra={"firmware/old/gone.py": b"x = 1\n"}))
        assert session.exists("/slots/b/firmware/old/gone.py")
        deploy.install(session, application("3"))
        assert not session.exists("/slots/b/firmware/old/gone.py")


def test_an_application_that_breaks_is_told_and_the_one_before_runs_again(board):
    lines = []
    _, result = install_and_wait(board.port, application("2", works=False), lines.append)
    assert not result.is_confirmed
    assert "slot a" in result.text and "3 starts" in result.text and "ValueError: broken" in result.text
    assert "start 3 of 3" in lines
    assert started(board)[-1] == "RUNS 1 help"


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(version_1, flash):
    shutil.copy(version_1, flash)
    with StandIn(flash, BLOCKS) as board:
        big = application("2", extra={"firmware/big.py": os.urandom(BLOCKS * 4096)})
        with Repl(board.port) as session:
            before = session.exec("import os\nprint(list(os.ilistdir('/slots')), os.stat('/slots/state.json'))")
            with pytest.raises(ToolError, match="too small: .* KB are needed"):
                deploy.install(session, big)
            assert session.exec("import os\nprint(list(os.ilistdir('/slots')), os.stat('/slots/state.json'))") == before
            session.reset()
        assert started(board)[-1] == "RUNS 1 help"


def costs(before, flash):
    """(bytes on the wire, writes to the flash) of the deploy and start of version 3 that are to be cut."""
    shutil.copy(before, flash)
    with StandIn(flash, BLOCKS) as board:
        started(board)
        install(board.port, application("3", works=True, helper="new!"))
        started(board)
        return board.bytes_in, board.writes


@pytest.fixture(scope="module")
def on_trial(version_1, tmp_path_factory):
    """Version 1 is good, version 2 was written and never confirmed; its files have the sizes of those of version 3."""
    flash = tmp_path_factory.mktemp("on-trial") / "flash"
    shutil.copy(version_1, flash)
    with StandIn(flash, BLOCKS) as board, Repl(board.port) as session:
        deploy.install(session, application("2", works=None, helper="old!"))
    return flash


def points(total, first, step):
    """Where to cut: four all over the way, then eight near its end, where manifest and state are written."""
    late = [total + 2 - step * i for i in range(8)]
    return [first + (late[-1] - first) * i // 4 for i in range(4)] + late[::-1]


@pytest.mark.parametrize("kind", ["cut_after_bytes", "cut_after_writes"])
@pytest.mark.parametrize("before", ["version_1", "on_trial"])
def test_cut_anywhere_the_board_still_starts_a_whole_application(request, flash, before, kind, show_figure):
    before_flash = request.getfixturevalue(before)
    total = costs(before_flash, flash)[kind == "cut_after_writes"]
    survived = {"RUNS 1 help": 0, "RUNS 2 old!": 0, "RUNS 3 new!": 0}
    cuts = points(total, *((40, 300) if kind == "cut_after_bytes" else (0, 2)))
    for cut in cuts:
        shutil.copy(before_flash, flash)
        with StandIn(flash, BLOCKS, Faults(**{kind: cut})) as board:
            started(board)
            with contextlib.suppress(ToolError):  # in which words it is told, test_board_repl.py looks at
                install(board.port, application("3", works=True, helper="new!"))
                started(board)
        with StandIn(flash, BLOCKS) as board:
            said = started(board)
        assert said and said[-1] in survived, (cut, said, board.seen)
        survived[said[-1]] += 1
    assert survived["RUNS 2 old!"] == 0 or before == "on_trial"
    counts = ", ".join("%s: %d" % pair for pair in survived.items())
    assert survived["RUNS 1 help"], "cuts before the switch"
    show_figure("deploy over %s, %s: %d points; %s" % (before, kind, len(cuts), counts))


def test_a_deploy_after_a_cut_finishes_the_work(version_1, flash):
    total = costs(version_1, flash)[0]
    shutil.copy(version_1, flash)
    with StandIn(flash, BLOCKS, Faults(cut_after_bytes=total * 2 // 3)) as board, pytest.raises(BoardLost):
        install(board.port, application("2", helper="new"))
        started(board)
    with StandIn(flash, BLOCKS) as board:
        assert install_and_wait(board.port, application("2", helper="new"))[1].is_confirmed
        assert started(board)[-1] == "RUNS 2 new"


def test_a_reset_in_the_middle_is_told_and_harmless(version_1, flash, monkeypatch):
    monkeypatch.setattr(repl, "EXEC_TIMEOUT_S", 1)
    monkeypatch.setattr(repl, "READ_TIMEOUT_S", 1)
    monkeypatch.setattr(SerialTransport.read_until, "__defaults__", (1, None, None))
    shutil.copy(version_1, flash)
    with StandIn(flash, BLOCKS, Faults(reset_after_bytes=3000)) as board:
        with pytest.raises(BoardLost, match="try again"):
            install(board.port, application("2"))
        assert started(board)[-1] == "RUNS 1 help"


def cli(board, monkeypatch, built, *arguments):
    monkeypatch.setattr(deploy.tree, "build", lambda lib_folder=None, is_small=False: built)
    return deploy.run_cli(["--port", board.port, *arguments])


def test_the_command_says_how_the_trial_ended(board, monkeypatch, capsys):
    assert cli(board, monkeypatch, application("2")) == 0
    out = capsys.readouterr().out
    assert "version 2 is in slot b" in out and "confirmed: slot b is the good one" in out
    assert cli(board, monkeypatch, application("2")) == 0
    assert "already, in slot b" in capsys.readouterr().out
    assert cli(board, monkeypatch, application("3", works=False)) == 1
    assert "The one before runs again (slot b)" in capsys.readouterr().out
    assert cli(board, monkeypatch, application("4"), "--no-start") == 0
    assert "confirmed" not in capsys.readouterr().out


def test_watching_deploys_at_every_change_and_survives_a_failure(board, monkeypatch, capsys):
    builds = [application("2"), ToolError("firmware/app.py does not compile"), application("3")]
    stamps = iter([{"x": 1}, {"x": 1}, {"x": 2}, {"x": 2}, {"x": 3}])

    def build(lib_folder=None, is_small=False):
        built = builds.pop(0)
        if isinstance(built, ToolError):
            raise built
        return built

    def next_stamps(lib_folder):
        found = next(stamps, None)
        if found is None:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(deploy.tree, "build", build)
    monkeypatch.setattr(deploy, "_stamps", next_stamps)
    monkeypatch.setattr(deploy, "WATCH_STEP_S", 0)
    with pytest.raises(KeyboardInterrupt):
        deploy.run_cli(["--port", board.port, "--watch"])
    out = capsys.readouterr().out
    assert out.count("confirmed: slot") == 2 and "does not compile" in out and "changed: x" in out
    assert not builds


def test_a_package_is_installed_by_mpremote(board, tmp_path):
    (tmp_path / "hello.py").write_text("text = 'hello'\n")
    package = {"urls": [["hello/__init__.py", "hello.py"]], "version": "0.1"}
    (tmp_path / "package.json").write_text(json.dumps(package))
    with Repl(board.port) as session:
        deploy.install_package(session, str(tmp_path / "package.json"))
        assert session.eval("__import__('hello').text") == "hello"
        with pytest.raises(ToolError, match="cannot be installed"):
            deploy.install_package(session, str(tmp_path / "nothing.json"))


def test_the_tree_is_the_whole_application_and_the_same_every_time():
    built, again = tree.build(), tree.build()
    assert built.files == again.files and built.manifest_bytes() == again.manifest_bytes()
    some = {"firmware/app.mpy", "firmware/slots.mpy", "lib/kernels.mpy", "boards/bread_compact_wifi.mpy"}
    assert some <= set(built.files)
    assert not any(path.endswith(".py") or "sim" in path for path in built.files)
    assert set(built.loose) == {"main.py", "boot.py"}
    for data in built.files.values():
        assert data[:2] == b"M\x06"  # compiled, for the bytecode version of MicroPython 1.23 and later


def test_a_small_tree_is_the_same_application_in_fewer_bytes():
    built, small, again = tree.build(), tree.build(is_small=True), tree.build(is_small=True)
    assert small.files == again.files and set(small.files) == set(built.files) and small.loose == built.loose
    assert small.total_bytes() < 0.9 * built.total_bytes()
    assert small.version != built.version


def test_a_folder_of_libraries_joins_the_slot(tmp_path):
    (tmp_path / "aiohttp").mkdir()
    (tmp_path / "aiohttp" / "__init__.py").write_text("x = 1\n")
    built = tree.build(lib_folder=str(tmp_path))
    assert built.files["lib/aiohttp/__init__.mpy"][:1] == b"M"
    (tmp_path / "kernels.py").write_text("x = 1\n")
    with pytest.raises(ToolError, match="own names"):
        tree.build(lib_folder=str(tmp_path))


def test_a_source_that_does_not_compile_is_told(tmp_path):
    for name in ("firmware", "lib"):
        (tmp_path / name).mkdir()
    (tmp_path / "main.py").write_text("pass\n")
    (tmp_path / "firmware" / "app.py").write_text("def broken(:\n")
    with pytest.raises(ToolError, match="app.py does not compile"):
        tree.build(root=str(tmp_path))
