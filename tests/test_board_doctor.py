"""doctor against stand-ins of a board and of a chip's loader, in every state a board can be in."""

import json

import pytest
from repl_stand_in import Faults, StandIn
from rom_stand_in import RomStandIn
from test_board_deploy import BLOCKS, application

from tools import ToolError
from tools.board import deploy, doctor, ports, repl
from tools.board.repl import Repl


@pytest.fixture
def board(tmp_path):
    with StandIn(tmp_path / "flash", BLOCKS) as stand_in:
        yield stand_in


def advice(board, capsys):
    code = doctor.run_cli(["--port", board.port])
    out = capsys.readouterr().out
    return code, out.rpartition("next: ")[2].strip(), out


def test_from_blank_to_talking_it_says_what_comes_next(board, capsys):
    code, step, out = advice(board, capsys)
    assert (code, step) == (1, "python -m tools deploy")
    assert "16 MB, 8 MB, octal" in out and "1.25.0" in out and "7cdfa1000001" in out
    with Repl(board.port) as session:
        deploy.install(session, application("1"))
    assert advice(board, capsys)[1] == "python -m tools provision"
    with Repl(board.port) as session:
        session.write_file("/config.json", json.dumps({"bot_id": "7", "token": "pat_x", "wifi_ssid": "home"}).encode())
    code, step, out = advice(board, capsys)
    assert "no root certificates" in step and "pat_x" not in out
    with Repl(board.port) as session:
        session.mkdir("/tls_roots")
        session.write_file("/tls_roots/a.der", b"0")
    code, step, out = advice(board, capsys)
    assert code == 0 and "press the button" in step
    assert "slot a: 1 (good)" in out and "1 root certificates" in out


def test_a_damaged_configuration_is_told(board, capsys):
    with Repl(board.port) as session:
        deploy.install(session, application("1"))
        session.write_file("/config.json", b"{")
    code, step, out = advice(board, capsys)
    assert code == 1 and step.startswith("python -m tools provision --reset, then") and "damaged" in out
    with Repl(board.port) as session:
        session.write_file("/config.json", b"[" * 9000)
        session.write_file("/slots/state.json", b"[1]")
    code, step, out = advice(board, capsys)
    assert "--reset" in step and "slot a: 1 (spare)" in out


def test_what_a_board_calls_itself_is_text(tmp_path, capsys):
    facts = {"machine": "[/bold] \x1b[2J with ESP32S3"}
    with StandIn(tmp_path / "flash", BLOCKS, facts=facts) as board:
        assert "[/bold] \\x1b[2J with ESP32S3" in advice(board, capsys)[2]


def test_an_application_inside_the_image_needs_no_deploy(board, capsys):
    """As boards/micropython/ makes one; here it lies where a frozen one is found, too."""
    with Repl(board.port) as session:
        session.mkdir("/firmware")
        session.write_file("/firmware/__init__.py", b"VERSION = '0.9'\n")
    starts = board.starts
    code, step, out = advice(board, capsys)
    assert code == 1 and step == "python -m tools provision" and "in the image: 0.9" in out
    board.wait_for_start(starts + 1)


def test_the_application_runs_again_afterwards(board):
    with Repl(board.port) as session:
        deploy.install(session, application("1"))
    starts = board.starts
    doctor.examine(board.port)
    board.wait_for_start(starts + 1)
    with Repl(board.port):
        assert board.starts == starts + 1 and board.seen.count(b"RUNS 1") == 1


def test_an_old_micropython_is_told(tmp_path, capsys):
    with StandIn(tmp_path / "flash", BLOCKS, facts={"version": (1, 22, 0)}) as board:
        code, step, _ = advice(board, capsys)
    assert code == 1 and "too old" in step and "tools flash" in step


def test_another_chip_is_told(tmp_path, capsys):
    with StandIn(tmp_path / "flash", BLOCKS, facts={"machine": "Generic ESP32 module with ESP32"}) as board:
        assert "no ESP32-S3" in advice(board, capsys)[1]


def test_psram_that_the_image_does_not_drive_is_hinted_at(tmp_path, capsys):
    facts = {"machine": "Generic ESP32S3 module with ESP32S3", "psram_bytes": 0}
    with StandIn(tmp_path / "flash", BLOCKS, facts=facts) as board:
        _, step, out = advice(board, capsys)
    assert "octal SPIRAM" in step and "none seen" in out


@pytest.mark.parametrize("megabytes", [0, 2, 8, 16])
def test_the_psram_is_told_from_the_regions_of_the_heap(megabytes):
    regions = [277304, 22308] + ([(megabytes << 20) - 65536] if megabytes else [])
    assert doctor.psram_bytes(regions) == megabytes << 20


def test_a_chip_without_micropython_is_asked_in_its_loader(monkeypatch, capsys):
    monkeypatch.setattr(repl, "INTERRUPT_TIMEOUT_S", 0.5)
    with RomStandIn() as rom:
        assert doctor.run_cli(["--port", rom.port]) == 1
        assert "erase_flash" not in rom.orders
    out = capsys.readouterr().out
    assert "16 MB of flash, 8 MB of octal PSRAM" in out and "tools flash IMAGE.bin (the .bin for octal SPIRAM" in out


def test_a_board_that_says_nothing_gets_both_explanations(tmp_path, monkeypatch):
    monkeypatch.setattr(repl, "INTERRUPT_TIMEOUT_S", 0.5)
    with StandIn(tmp_path / "flash", BLOCKS, Faults(is_silent=True)) as board:
        monkeypatch.setattr(doctor.chips.cmds, "detect_chip", _no_chip)
        with pytest.raises(ToolError) as caught:
            doctor.run_cli(["--port", board.port])
    assert "Press RST" in str(caught.value) and "Hold BOOT" in str(caught.value)


def _no_chip(*_, **__):
    raise OSError("no serial data received")


def test_no_board_is_explained(monkeypatch):
    monkeypatch.setattr(ports, "list_ports", lambda: [])
    with pytest.raises(ToolError, match="data cable"):
        doctor.run_cli([])


def test_the_log_of_the_chip_in_between_is_told(board, monkeypatch):
    monkeypatch.setattr(doctor, "_FACTS", "print('E (4711) wifi: no heap')")
    monkeypatch.setattr(doctor.chips.cmds, "detect_chip", _no_chip)
    with pytest.raises(ToolError, match=r"sent something else than was asked for \(E \(4711\) wifi: no heap"):
        doctor.run_cli(["--port", board.port])
