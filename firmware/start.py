"""Where the program begins: the settings are read and judged before the speaker is loaded.

The judges of the settings are tens of kilobytes and are let go of afterwards. Loaded first, they leave their room to
the speaker's modules; loaded last, a hole that no large buffer fits into. On a desktop it makes no difference.
"""

import gc

from . import boards, compat, config as settings, errors, report

CONFIG_PATH = "config.json"


def main(path=None, ports=None, slot=None):
    """Run the speaker until Ctrl-C. Returns 0, 1 when a part broke, 2 when the settings are wrong; both are reported."""
    try:
        config = settings.load(path or CONFIG_PATH)
        board = boards.load(config.board)
    except errors.PipitError as error:
        report.say("error", compat.ticks_ms(), error_kind=error.kind, text=error.text)
        return errors.exit_code_of(error)
    gc.collect()
    from . import app  # not above: see the top of this file

    gc.collect()  # the buffers come next, and the largest wants its bytes in one piece
    return app.run(config, board, ports)
