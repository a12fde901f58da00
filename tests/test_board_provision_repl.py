"""`provision` when no speaker runs: through MicroPython's prompt, on the stand-in for a board and its disk."""

import contextlib
import json
import os
import sys

import pytest
import trustme
from repl_stand_in import Faults, StandIn
from test_board_roots import served_by, server
from wire import to_der

from tools import ToolError, mpy
from tools.board import follow, provision, way_in
from tools.board.repl import Repl

BLOCKS = 32
TOKEN = "pat_never-to-be-shown-77aa"
WHOLE = {"wifi_ssid": "Nest", "wifi_password": "never shown 11", "bot_id": "74", "token": TOKEN}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """A MicroPython for the stand-in, nobody to ask, and no long wait for a speaker that is known not to run."""
    try:
        mpy.launcher(64)
    except mpy.MissingMicroPython as error:
        if os.environ.get("ALLOW_NO_MPY") == "1":
            pytest.skip("NOT TESTED ON MICROPYTHON, because ALLOW_NO_MPY=1: %s" % error)
        pytest.fail(str(error), pytrace=False)

    class Pipe:
        def isatty(self):
            return False

    monkeypatch.setattr(sys, "stdin", Pipe())


def run(board, *words):
    return provision.run_cli(["--port", board.port, "--repl", "--no-restart", *words])


def file_of(tmp_path, **values):
    path = tmp_path / "given.json"
    path.write_text(json.dumps(dict(WHOLE, **values)))
    return str(path)


def stored(board):
    with Repl(board.port) as repl:
        return json.loads(repl.read_file("/config.json"))


def test_settings_are_written_kept_shown_and_forgotten(tmp_path, capfd):
    with StandIn(tmp_path / "flash") as board:
        assert run(board, "--no-roots", "--from", file_of(tmp_path)) == 0
        assert stored(board) == WHOLE
        assert run(board, "--volume", "20", "--set", "tail_ms=99") == 0
        assert stored(board) == dict(WHOLE, volume_percent=20, tail_ms=99), "what was not named is kept"
        assert run(board, "--show") == 0
        out, err = capfd.readouterr()
        assert '"volume_percent": 20' in out and TOKEN not in out + err and WHOLE["wifi_password"] not in out + err
        with pytest.raises(ToolError, match="volume_percent: 900 is not allowed.*nothing was changed"):
            run(board, "--volume", "900")
        with Repl(board.port) as repl:
            repl.write_file("/config.json.new", b"what a cut write has left")
        assert run(board, "--reset", "--yes") == 0
        with Repl(board.port) as repl:
            assert not [name for name in repl.listdir("/") if name.startswith("config.json")]
        assert run(board, "--show") == 0
        assert "nothing is set" in capfd.readouterr().out


def test_that_the_application_was_ended_is_told_whichever_way_was_asked_for(tmp_path, monkeypatch, capsys):
    """Also when its console did not answer, and the prompt was the second choice."""
    honest = way_in.Console
    monkeypatch.setattr(way_in, "Console", lambda port: honest(port, wait_s=0.2))
    with StandIn(tmp_path / "flash", BLOCKS) as board:
        assert provision.run_cli(["--port", board.port, "--show"]) == 0
    assert "RST on the board starts it" in capsys.readouterr().out


def test_without_an_application_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(follow, "START_WAIT_S", 1.0)
    with StandIn(tmp_path / "flash", BLOCKS) as board:
        with pytest.raises(ToolError, match="the settings are written, but no speaker answers(.|\n)*tools deploy"):
            provision.run_cli(["--port", board.port, "--repl", "--no-roots", "--from", file_of(tmp_path)])
        assert board.starts > 1, "it was reset"
        assert stored(board) == WHOLE


def test_roots_through_the_prompt(tmp_path):
    ca = trustme.CA()
    root = tmp_path / "root.pem"
    ca.cert_pem.write_to_path(str(root))
    with server(served_by(ca)) as port, StandIn(tmp_path / "flash") as board:
        url = "wss://localhost:%d/v1/chat" % port
        assert run(board, "--root", str(root), "--from", file_of(tmp_path, cloud_url=url)) == 0
        with Repl(board.port) as repl:
            assert repl.listdir("/tls_roots") == ["cloud-root.der"]
            assert repl.read_file("/tls_roots/cloud-root.der") == to_der(ca.cert_pem.bytes())
        assert run(board, "--reset", "--yes") == 0
        with Repl(board.port) as repl:
            assert repl.listdir("/tls_roots") == []


def test_a_broken_file_is_said_and_can_be_reset(tmp_path):
    with StandIn(tmp_path / "flash") as board:
        with Repl(board.port) as repl:
            repl.write_file("/config.json", b'{"bot_id": ')
        with pytest.raises(ToolError, match="no JSON object; --reset clears it"):
            run(board, "--volume", "5")
        assert run(board, "--reset", "--yes") == 0
        assert run(board, "--no-roots", "--from", file_of(tmp_path)) == 0
        assert stored(board) == WHOLE


def test_a_wrong_file_is_shown_without_its_secrets(tmp_path, capfd):
    with StandIn(tmp_path / "flash") as board:
        with Repl(board.port) as repl:
            repl.write_file("/config.json", json.dumps(dict(WHOLE, volume_percent=900)).encode())
        with pytest.raises(ToolError, match="cannot start with this: volume_percent: 900"):
            run(board, "--show")
    out, err = capfd.readouterr()
    assert TOKEN not in out + err and "900" in out


def test_power_lost_at_any_write_leaves_the_old_settings_or_the_new(tmp_path):
    flash = tmp_path / "flash"
    with StandIn(flash, BLOCKS) as board:
        assert run(board, "--no-roots", "--from", file_of(tmp_path)) == 0
    image = flash.read_bytes()
    louder = dict(WHOLE, volume_percent=33)
    with StandIn(flash, BLOCKS) as board:
        write_through_the_prompt(board.port)
    seen = []
    for cut in range(board.writes + 1):
        flash.write_bytes(image)
        with StandIn(flash, BLOCKS, faults=Faults(cut_after_writes=cut)) as board:
            with contextlib.suppress(ToolError):
                write_through_the_prompt(board.port)
        with StandIn(flash, BLOCKS) as board:
            found = stored(board)
        assert found in (WHOLE, louder), cut
        seen.append(found == louder)
    assert seen[0] is False and seen[-1] is True and seen == sorted(seen), "once it is the new one it stays so"


def write_through_the_prompt(port):
    with contextlib.closing(way_in.ReplWay(Repl(port).__enter__())) as way:
        way.write({"volume_percent": 33})
