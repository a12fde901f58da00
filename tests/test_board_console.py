"""Console against a scripted speaker on a pty: replies are found among everything else that a serial port carries."""

import os
import pty

import pytest
from speaker_peer import SpeakerPeer

from tools import ToolError
from tools.board import ports
from tools.board.console import Console, ConsoleLost, NoConsole, Refused, _report_in, wait_for_console


def test_a_question_and_its_answer():
    with SpeakerPeer() as peer, Console(peer.port) as console:
        assert console.hello["board"] == "bread_compact_wifi"
        assert console.ask({"do": "status"})["state"] == "idle"
    assert [command["do"] for command in peer.commands] == ["hello", "status"]
    assert len({command["id"] for command in peer.commands}) == 2


@pytest.mark.parametrize(
    "before",
    (
        b"I (1234) wifi: connected\r\n",
        b'{"kind": "state", "state": "idle", "t_ms": 7}\r\n',
        b"text without an end ",
        b'{"kind": "said", "text": "half a li',
        b'{"kind": "reply", "id": 1, "ok": true, "do": "status", "state": "from an earlier program"}\r\n',
        b"\x00\xff\xfe\x1b[31m\r\n[1, 2]\r\n{}\r\n{{{{\r\n\"kind\"\r\n",
        b"IMPROV\x01\x01\x01\x02\xe2\n",
        b"x" * 70_000 + b"\r\n",
    ),
)
@pytest.mark.parametrize("cut", (False, True))
def test_whatever_else_comes_an_answer_is_found(before, cut):
    if cut and len(before) > 1000:
        before = before[:1000] + b"\n"
    with SpeakerPeer(before=before, cut=cut) as peer, Console(peer.port) as console:
        assert console.ask({"do": "status"})["state"] == "idle"


def test_reports_and_text_are_handed_on_each_once():
    reports, texts = [], []
    noise = b'boot: log\r\n{"kind": "heard", "text": "na\xc3\xafve", "t_ms": 7}\r\n'
    with SpeakerPeer(before=noise) as peer, Console(peer.port, reports.append, texts.append) as console:
        console.ask({"do": "status"})
        assert [console.next_report(1)["text"] for _ in range(2)] == ["naïve", "naïve"]
        assert console.next_report(0) is None
        peer.say("state", state="speaking")
        assert console.next_report(2)["state"] == "speaking"
    assert [report["kind"] for report in reports] == ["heard", "heard", "state"]
    assert texts == ["boot: log"] * 2


def test_the_end_of_an_endless_line_is_no_report():
    reports, texts = [], []
    with SpeakerPeer(before=b"x" * 200_000 + b'{"kind": "fake"}\r\n') as peer:
        with Console(peer.port, reports.append, texts.append) as console:
            assert console.ask({"do": "status"})["state"] == "idle"
    assert reports == [] and texts == []


def test_a_refusal_is_the_speakers_own_text():
    with SpeakerPeer({"bot_id": "1", "token": "t"}) as peer, Console(peer.port) as console:
        with pytest.raises(Refused, match="volume_percent: 900 is not allowed") as caught:
            console.ask({"do": "set", "values": {"volume_percent": 900}, "dry": True})
    assert caught.value.error_kind == "config"


def test_an_answer_in_pieces():
    with SpeakerPeer() as peer, Console(peer.port) as console:
        assert [reply["lines"] for reply in console.ask_all({"do": "trace"})] == [["1 A 0"], ["2 B 0"]]


@pytest.mark.parametrize("size", (0, 1, 1023, 1024, 1025, 5000))
def test_a_file_arrives_whole(size):
    data = bytes(i * 7 % 251 for i in range(size))
    told = []
    with SpeakerPeer() as peer, Console(peer.port) as console:
        console.put("tls_roots/a.der", data, told.append)
        assert peer.roots == {"a.der": data} and sum(told) == size
        with pytest.raises(Refused, match="only tls_roots"):
            console.put("main.py", b"x")
        console.remove("tls_roots/a.der")
        assert peer.roots == {}


def test_a_speaker_that_does_not_answer_one_command():
    with SpeakerPeer(deaf=("status",)) as peer, Console(peer.port) as console:
        with pytest.raises(ConsoleLost, match="did not answer to 'status' within 0.1 s"):
            console.ask({"do": "status"}, timeout_s=0.1)


def test_a_speaker_that_is_still_starting_is_waited_for():
    with SpeakerPeer(hello_after=1) as peer, Console(peer.port) as console:
        assert console.hello["product"] == "pipit"


def test_nobody_answers():
    master, slave = pty.openpty()
    try:
        with pytest.raises(NoConsole, match="no running speaker") as caught:
            Console(os.ttyname(slave), wait_s=0.1)
        assert caught.value.seen == ""
    finally:
        os.close(master)
        os.close(slave)


def test_only_the_repl_answers():
    class REPL(SpeakerPeer):
        def _answer(self, line):
            self.send(line + b"\r\n{'do': 'hello'}\r\n>>> \r\n")  # the echo, and what the expression is worth
            return True

    with REPL() as peer:
        with pytest.raises(NoConsole) as caught:
            Console(peer.port, wait_s=0.3)
    assert caught.value.seen == ">>>"


def test_a_pulled_cable_is_one_sentence():
    with SpeakerPeer(dies_at=2) as peer:
        with Console(peer.port) as console:
            with pytest.raises(ConsoleLost, match="is the cable in"):
                console.ask({"do": "status"}, timeout_s=2)
        with pytest.raises(ToolError):
            wait_for_console(peer.port, 0.2)


def test_a_port_that_is_not_there_yet(tmp_path):
    with pytest.raises(NoConsole, match="did not come back"):
        wait_for_console(str(tmp_path / "gone"), 0.3)


def test_a_command_that_is_too_long_never_leaves():
    with SpeakerPeer() as peer, Console(peer.port) as console:
        with pytest.raises(ToolError, match="set fewer values"):
            console.ask({"do": "set", "values": {"parameters": {"x": "y" * 5000}}})
    assert peer.did("set") == []


def test_a_report_behind_text():
    assert _report_in('log {"a": 1} {"kind": "x"}') == {"kind": "x"}
    assert _report_in('{"kind": 3}') is None
    assert _report_in("{" * 100_000) is None


@pytest.mark.parametrize("is_uart", (True, False))
def test_a_long_command_goes_to_a_uart_in_pieces_that_the_board_can_keep(monkeypatch, is_uart):
    pauses, pieces = [], []
    with SpeakerPeer() as peer:
        monkeypatch.setattr(ports, "is_uart", lambda port: is_uart)
        with Console(peer.port) as console:
            write = console._serial.write
            monkeypatch.setattr(console._serial, "write", lambda data: pieces.append(data) or write(data))
            monkeypatch.setattr("tools.board.console.time.sleep", pauses.append)
            console.put("tls_roots/long.der", b"x" * 900)
    line = b"".join(pieces)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    if is_uart:
        assert [len(piece) for piece in pieces] == [200] * (len(line) // 200) + [len(line) % 200]
        assert pauses == [0.05] * (len(pieces) - 1)
    else:
        assert len(pieces) == 1 and pauses == []


def test_only_a_bridge_chip_is_a_uart(monkeypatch, tmp_path):
    native, bridge = str(tmp_path / "ttyACM0"), str(tmp_path / "ttyUSB0")
    (tmp_path / "by-id").symlink_to(native)
    found = [ports.Port(native, "", 0x303A), ports.Port(bridge, "", 0x10C4)]
    monkeypatch.setattr(ports, "list_ports", lambda: found)
    assert not ports.is_uart(native) and not ports.is_uart(str(tmp_path / "by-id")) and not ports.is_uart("/dev/pts/7")
    assert ports.is_uart(bridge) and ports.is_uart("COM7") and ports.is_uart("socket://speaker:5000")
