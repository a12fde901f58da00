"""Boards are data: one file each in boards/, checked here before a pin is touched.

A board file holds one dict, BOARD, and imports nothing:

    name            the name of the file
    source          which document or revision the pins were read from
    psram           "octal", "quad" or "none"
    is_duplex       the microphone may stay open while the speaker plays: its echo is cancelled, or there is none
    gate_tail_ms    otherwise: how long the room still rings after the last audible sample
    mic             i2s_id, sck, ws, sd, rate_hz, bits, ibuf_bytes (8 a frame: 16 384 outlast 112 ms in which the loop stands
                    still for a report on the UART and a collection), gain_q8 (256 = unchanged); kind "i2s" if given;
                    slot "left" (L/R at ground) if not given, or "right"
    speaker         i2s_id, sck, ws, sd, dma_ms (sound in the DMA queue: what a stop must recall)
    amp_enable      pin that switches the amplifier on, or None
    button          pin, active_low, pull_up
    volume_up, volume_down   as button, or None
    led             kind "neopixel", pin, count, or None
    strapping_ok    optional: strapping pins that this board's maker uses on purpose
    hold_high       optional: pins to be high while the speaker runs: they keep the board's own power on

Every error is ConfigError("board", ...): a person wrote the file or chose the wrong one.
"""

from unload import unload

from .compat import const
from .errors import ConfigError

_DMA_BLOCK_FRAMES = const(256)  # micropython ports/esp32/machine_i2s.c: DMA_BUF_LEN_IN_I2S_FRAMES
_TX_FRAME_BYTES = const(2)  # 16-bit mono
_DMA_MIN_MS = const(60)


def load(name):
    """The checked BOARD of boards/<name>.py; ConfigError when there is none, or it cannot work."""
    try:
        module = getattr(__import__("boards." + name), name, None)
    except ImportError:
        raise ConfigError("board", '"%s" is unknown: there is no file boards/%s.py' % (name, name))
    except SyntaxError as error:
        raise ConfigError("board", "boards/%s.py is not Python: %s" % (name, error))
    if not hasattr(module, "BOARD"):
        raise ConfigError("board", "boards/%s.py holds no BOARD" % name)
    validate(module.BOARD, name)
    return module.BOARD


def unit_id(machine):
    """This unit's name towards the cloud and a host, so that two speakers do not share one conversation."""
    return "pipit-" + "".join("%02x" % byte for byte in machine.unique_id())


def speaker_ibuf_bytes(board, rate_hz):
    """The `ibuf` for the speaker's I2S at this rate: whole DMA blocks, 60 to 100 ms, nearest below dma_ms."""
    block_us = _DMA_BLOCK_FRAMES * 1_000_000 // rate_hz
    blocks = board["speaker"]["dma_ms"] * 1000 // block_us
    if blocks * block_us < _DMA_MIN_MS * 1000:
        blocks += 1
    return max(2, blocks) * _DMA_BLOCK_FRAMES * _TX_FRAME_BYTES


def is_shared_bus(board):
    """One clock pair for both directions. MicroPython's I2S goes one way: the two could only take turns on it."""
    mic, speaker = board["mic"], board["speaker"]
    return mic["sck"] == speaker["sck"] and mic["ws"] == speaker["ws"]


def remarks(board, config):
    """Sentences on settings that this board cannot honour; the speaker works all the same."""
    found = []
    if config.mode == "free" and not board["is_duplex"]:
        found.append("mode: on this board speech cannot interrupt an answer, the button does")
        if config.interrupt_keywords:
            found.append("interrupt_keywords: have no effect on this board, nobody can say them during an answer")
    return found


def validate(board, name):
    """Raise ConfigError("board", ...) with the first thing in this BOARD that cannot work."""
    from . import board_rules

    try:
        board_rules.validate(board, name)
    finally:
        unload(__name__.rpartition(".")[0], ("board_rules",))
