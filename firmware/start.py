"""Where the program begins: the settings are read and judged before the speaker is loaded.

The judges of the settings are tens of kilobytes and are let go of afterwards. Loaded first, they leave their room to
the speaker's modules; loaded last, a hole that no large buffer fits into. On a desktop it makes no difference.

On a board (anything with a serial port of its own, serial/port.py) settings that are missing or wrong do not end the
program: it stays up for whoever sets it up over that port (blank.py), and the speaker starts when they are whole.
"""

import gc

from unload import unload

from . import collector, compat, config as settings, errors, report
from .serial import port as serial_port

CONFIG_PATH = "config.json"


def main(path=None, ports=None, slot=None):
    """Run the speaker until Ctrl-C. Returns one of the exit codes in errors.py; all but 0 are reported.

    slot: "a" or "b", where this application lives, None for neither.
    """
    path = path or CONFIG_PATH
    port = serial_port.find()
    if port is None:
        try:
            config, board = _load(path)
        except errors.PipitError as error:
            return errors.exit_code_of(error)
        return _run(config, board, ports, None, slot, path)
    port.take_ctrl_c()  # packets of a host may come at any time from now on
    try:
        return _serve(path, ports, slot, port)
    finally:
        port.give_back_ctrl_c()


def _serve(path, ports, slot, port):
    was_blank = False
    while True:
        try:
            config, board = _load(path)
        except errors.PipitError as error:
            exit_code = _wait_for_settings(error, path, ports, slot, port)
            if exit_code is not None:
                return exit_code
            was_blank = True
            continue
        try:
            return _run(config, board, ports, port, slot, path)
        except MemoryError:
            if not was_blank:
                raise
            return errors.EXIT_RESTART  # what set the board up has left holes in the heap


def _load(path):
    from . import boards  # let go of by app.py

    collector.pack(True)
    try:
        config = settings.load(path)
        return config, boards.load(config.board)
    except errors.PipitError as error:
        collector.pack(False)
        report.say("error", compat.ticks_ms(), error_kind=error.kind, text=error.text)
        raise


def _wait_for_settings(error, path, ports, slot, port):
    """None when there are some now, else the exit code."""
    from . import blank

    exit_code = blank.run(error, path, ports, slot, port)
    is_configured = exit_code == blank.CONFIGURED
    unload(__name__.rpartition(".")[0], ("blank", "host_device"))
    unload(__name__.rpartition(".")[0] + ".serial", ("desk", "provisioning"))
    return None if is_configured else exit_code


def _run(config, board, ports, port, slot, path):
    gc.collect()
    from . import app  # not above: see the top of this file

    gc.collect()  # the buffers come next, and the largest wants its bytes in one piece
    return app.run(config, board, ports, app.Host(port, slot, path))
