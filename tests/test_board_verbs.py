"""The verbs of a board are alike: help, ports that cannot be had, Ctrl-C; a mistake is told in a sentence."""

import os
import subprocess
import sys

import pytest
from speaker_peer import SpeakerPeer

from tools import ROOT
from tools import __main__ as tools
from tools.board import chip, ports, repl

VERBS = {
    "doctor": ["doctor"],
    "flash": ["flash", "{image}"],
    "deploy": ["deploy"],
    "provision": ["provision", "--show"],
    "monitor": ["monitor"],
    "selftest": ["selftest", "--alone"],
}


@pytest.fixture
def run(tmp_path, capsys):
    """run(verb, ...) -> (exit code, what was printed)"""
    from test_board_flash import micropython

    (tmp_path / "image.bin").write_bytes(micropython())

    def run(verb, *arguments):
        words = [word.format(image=tmp_path / "image.bin") for word in VERBS[verb]]
        code = tools.main([*words, *arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out + said.err

    return run


@pytest.fixture
def terminal():
    """A pseudo terminal at whose other end nobody answers."""
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("verb", [*VERBS, "image"])
def test_help_teaches_with_examples(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        tools.main([verb, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "examples:\n  python -m tools %s" % verb in said
    assert verb == "image" or "(default: the only one that looks like a board)" in " ".join(said.split())


@pytest.mark.parametrize("verb", VERBS)
def test_no_board_or_several_are_told_with_what_to_do(verb, run, monkeypatch):
    monkeypatch.setattr(ports, "list_ports", lambda: [])
    assert run(verb)[0] == 1 and "Is the cable a data cable?" in run(verb)[1]
    both = [ports.Port("/dev/ttyACM0", "one", 0x303A), ports.Port("/dev/ttyUSB7", "other", 0x10C4)]
    monkeypatch.setattr(ports, "list_ports", lambda: both)
    code, said = run(verb)
    assert code == 1 and "choose with --port" in said and "/dev/ttyUSB7" in said


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("port, words", [("/dev/nothing", "there is no port"), ("/dev/null", "is not a serial port")])
def test_a_port_that_cannot_be_had_is_told_once(verb, port, words, run):
    code, said = run(verb, "--port", port)
    assert code == 1 and said.count(words) == 1 and "Errno" not in said


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_ends_with_130_and_a_sentence(verb, run, terminal, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(repl.Repl, "_interrupt", interrupted)
    monkeypatch.setattr(chip.cmds, "detect_chip", interrupted)
    if verb in ("monitor", "provision"):
        monkeypatch.setattr(ports, "open_serial", interrupted)
    code, said = run(verb, "--port", terminal)
    assert code == 130 and any(word in said for word in ("stopped", "ended", "touched"))


@pytest.mark.parametrize("words, said", ((["--reset"], "wants --yes"), ([], "nothing to set")))
def test_nobody_is_asked_when_the_input_is_closed(words, said, monkeypatch, capsys):
    """`python -m tools ... <&-`: Python has no sys.stdin then."""
    monkeypatch.setattr("sys.stdin", None)
    with SpeakerPeer({"bot_id": "1", "token": "t"}) as peer:
        assert tools.main(["provision", "--port", peer.port, *words]) == 1
    assert said in capsys.readouterr().err


def test_a_terminal_that_lacks_a_letter_ends_no_verb(tmp_path):
    (tmp_path / "loud.py").write_text("def run_cli(arguments):\n    print(chr(0x25CF))\n", encoding="utf-8")
    program = "import sys; from tools import __main__; sys.exit(__main__.run_verb('loud', 'loud', []))"
    environment = dict(os.environ, PYTHONIOENCODING="ascii", PYTHONPATH="%s%s%s" % (ROOT, os.pathsep, tmp_path))
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\\u25cf\n"), done.stderr


def test_nothing_that_a_board_says_drives_the_terminal(capsys):
    with SpeakerPeer({"bot_id": "1", "token": "t"}) as peer:
        peer._do_set = lambda command: {"ok": False, "error_kind": "config", "text": "no\x1b[2J\r"}
        assert tools.main(["provision", "--port", peer.port, "--no-roots", "--volume", "9"]) == 1
        assert "the speaker refuses: no\\x1b[2J\\r" in capsys.readouterr().err
        del peer._do_set
        peer.status = {"state": "idle", "wifi": {"ssid": "\x1b]0;", "address": "\x9b", "rssi_dbm": "\x07"}}
        assert tools.main(["provision", "--port", peer.port, "--no-roots", "--volume", "8"]) == 0
        assert "online: Wi-Fi \\x1b]0;, \\x9b, \\x07" in capsys.readouterr().out
