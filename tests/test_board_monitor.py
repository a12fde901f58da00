"""monitor: lines in words, untrusted bytes kept away from the terminal, a board that comes and goes."""

import json
import os
import pty
import threading
import tty

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speaker_peer import SpeakerPeer

from tools.board import monitor, ports, tree


class Terminal:
    """A pseudo terminal behind a stable name, as a board keeps its name when it comes back."""

    def __init__(self, name):
        self.name = str(name)
        self.open()

    def open(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.symlink(os.ttyname(self.slave), self.name)

    def say(self, data):
        os.write(self.master, data)

    def close(self):
        os.unlink(self.name)
        os.close(self.slave)
        os.close(self.master)


def test_reports_are_told_in_words():
    def told(**report):
        return monitor.words(json.dumps(report).encode()).plain

    assert told(kind="state", t_ms=1234, state="listening", before="idle") == "  1.234 s  state    listening (was idle)"
    assert "bad_token" in told(kind="error", t_ms=1, error_kind="bad_token", text="the cloud refused the token")
    turn = told(kind="turn", t_ms=9, outcome="answered", first_frame_ms=12, underruns=0, uplink_bytes=7)
    assert "answered, first frame 12 ms, uplink bytes 7" in turn and "underruns" not in turn
    assert "heap 3" in told(kind="boot", t_ms=9, heap=3)
    trace = told(kind="trace", t_ms=9, lines=["one", "two"])
    assert trace.splitlines()[1:] == ["           one", "           two"]


def test_lines_that_are_no_reports_are_dim():
    for line in (b"hello", b"{broken", b"{}", b"[1]", b'{"kind": 5}', b"\xff\xfe"):
        text = monitor.words(line)
        assert text.style == "dim" and text.plain == monitor.safe(line)


def test_tracebacks_of_a_small_program_have_their_names_again():
    program = tree.small_program()
    source = program.texts["firmware/net/link.py"].splitlines()
    docstring = next(i for i, line in enumerate(source) if '"""Prepare the next frame' in line)
    short = source[docstring - 1].split()[1].partition("(")[0]
    raised = 'Traceback (most recent call last):\n  File "link", line 1, in %s\nMemoryError: ' % short
    real = 'File "firmware/net/link.py", in _choose'
    assert len(short) <= 3
    assert real in monitor.words(raised.splitlines()[1].encode()).plain
    report = {"kind": "error", "t_ms": 1, "error_kind": "bug", "text": "task connection died: " + raised}
    assert real in monitor.words(json.dumps(report).encode()).plain
    ordinary = '  File "firmware/net/link.py", line 152, in open'
    assert monitor.words(ordinary.encode()).plain == ordinary


def test_markup_of_the_board_is_text():
    assert monitor.words(b'{"kind": "said", "text": "[red]no[/red]"}').plain.endswith("[red]no[/red]  ")


@given(st.binary(max_size=200))
def test_no_byte_of_a_board_drives_the_terminal(data):
    for text in (monitor.safe(data), monitor.words(data).plain):
        assert all(letter.isprintable() or letter == "\t" for letter in text)


VALUES = st.text(max_size=20) | st.integers() | st.lists(st.text(max_size=9))


@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
def test_no_report_of_a_board_drives_the_terminal(fields):
    for kind in ("turn", "trace", "state", "error", "said", "\x1b[2J"):
        text = monitor.words(json.dumps(dict(fields, kind=kind)).encode()).plain
        assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_a_board_that_vanishes_is_waited_for_and_no_later_line_is_lost(tmp_path):
    board = Terminal(tmp_path / "port")
    notes, lines, seen, is_over = [], [], threading.Event(), threading.Event()

    def note(text):
        notes.append(text)
        seen.set()

    def read():
        for line in monitor.read_lines(ports.open_serial(board.name), note, is_over.is_set):
            lines.append(line)
            seen.set()

    def after(what):
        assert seen.wait(10), what
        seen.clear()

    thread = threading.Thread(target=read)
    thread.start()
    while not lines:
        board.say(b"first\r\n")  # until the port is open: opening it discards what came before
        seen.wait(0.1)
    seen.clear()
    board.say(b"half a li")
    board.close()
    after("gone")
    board.open()
    after("back")
    board.say(b"second\n\xff\n")
    while len(lines) < 2 or lines[-1] != b"\xff":
        after("second")
    is_over.set()
    thread.join(10)
    board.close()
    assert lines[-2:] == [b"second", b"\xff"] and set(lines[:-2]) <= {b"first", b"half a li"}
    assert "gone" in notes[0] and "back" in notes[1]


def test_the_last_words_of_a_board_that_vanishes_are_kept(monkeypatch):
    class Connection:
        port, in_waiting = "/dev/gone", 0
        said = [b"whole\r\nGuru Medita", b"tion\r"]

        def read(self, size):
            if not self.said:
                raise OSError("gone")
            return self.said.pop(0)

        def close(self):
            pass

    monkeypatch.setattr(monitor, "_reopen", lambda port, is_over: None)
    assert list(monitor.read_lines(Connection())) == [b"whole", b"Guru Meditation"]


def test_a_line_without_an_end_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(monitor, "LINE_LIMIT_BYTES", 100)
    board = Terminal(tmp_path / "port")
    lines = monitor.read_lines(ports.open_serial(board.name))
    stop = threading.Event()

    def say():
        while not stop.wait(0.01):
            board.say(b"x" * 60)

    thread = threading.Thread(target=say)
    thread.start()
    assert set(next(lines)) == {ord("x")}
    stop.set()
    thread.join()
    lines.close()
    board.close()


def test_the_file_holds_the_bytes_as_they_came(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(monitor.ports, "choose_port", lambda name: name)
    monkeypatch.setattr(monitor.ports, "open_serial", lambda port: None)
    said = [b'{"kind": "state", "state": "idle"}', b"\x1b[2J\xff"]
    monkeypatch.setattr(monitor, "read_lines", lambda connection, note: iter(said))
    assert monitor.run_cli(["--port", "x", "--save", str(tmp_path / "log")]) == 0
    assert (tmp_path / "log").read_bytes() == b'{"kind": "state", "state": "idle"}\n\x1b[2J\xff\n'
    assert "\x1b[2J" not in capsys.readouterr().out
    assert monitor.run_cli(["--port", "x", "--raw"]) == 0
    assert "\\x1b[2J" in capsys.readouterr().out


def test_the_trace_of_a_running_speaker_is_printed(capsys):
    with SpeakerPeer() as peer:
        peer._do_trace = lambda command: {"lines": ["0.001 s  wifi_up 300", "0.002 s  \x1b[2J"], "more": False}
        assert monitor.run_cli(["--port", peer.port, "--trace"]) == 0
    assert capsys.readouterr().out == "0.001 s  wifi_up 300\n0.002 s  \\x1b[2J\n"


def test_ctrl_c_ends_the_monitor_and_says_so(monkeypatch, capsys):
    def interrupted(connection, note):
        yield b'{"kind": "state", "state": "idle"}'
        raise KeyboardInterrupt

    monkeypatch.setattr(monitor.ports, "choose_port", lambda name: name)
    monkeypatch.setattr(monitor.ports, "open_serial", lambda port: None)
    monkeypatch.setattr(monitor, "read_lines", interrupted)
    with pytest.raises(KeyboardInterrupt):
        monitor.run_cli(["--port", "x", "--raw"])
    said = capsys.readouterr()
    assert said.out == '{"kind": "state", "state": "idle"}\n', "nothing else, for the program that reads it"
    assert "the speaker goes on" in said.err
