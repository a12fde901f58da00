"""Pins that must be high while the speaker runs."""


def raise_pins(machine, board):
    """First what keeps the board itself on, then its amplifier. machine: the module; board: of firmware/boards.py."""
    for pin in board.get("hold_high", ()):
        machine.Pin(pin, machine.Pin.OUT, value=1)
    if board["amp_enable"] is not None:
        machine.Pin(board["amp_enable"], machine.Pin.OUT, value=1)
