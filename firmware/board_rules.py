"""The judge of board data: an ESP32-S3 and stock MicroPython must be able to do what the file says."""

from .boards import is_shared_bus
from .compat import const
from .errors import ConfigError

# ESP32-S3 (datasheet, pin overview; the pins of octal PSRAM: facts on the N16R8 modules).
_GPIO_MAX = const(48)
_GPIO_MISSING = (22, 23, 24, 25)
_FLASH_PINS = (26, 27, 28, 29, 30, 31, 32)
_OCTAL_PINS = (33, 34, 35, 36, 37)
_STRAPPING_PINS = (0, 3, 45, 46)
_BOOT_PIN = const(0)  # may be a button: it is only read at reset, and pressing it then is how one gets the ROM loader
_USB_PINS = (19, 20)

_I2S_IDS = (0, 1)
_MIC_RATE_HZ = const(16_000)  # half-band decimation to 8 kHz starts from here
_DMA_BLOCK_FRAMES = const(256)  # micropython ports/esp32/machine_i2s.c: DMA_BUF_LEN_IN_I2S_FRAMES
_RX_BLOCK_BYTES = const(2048)  # a received frame is always 32-bit stereo
_MIC_IBUF_MIN_MS = const(48)  # a pause of the garbage collector must fit
_MIC_IBUF_MAX_MS = const(512)
_DMA_MIN_MS = const(60)
_DMA_MAX_MS = const(100)

# part ("" is the board itself), fields, optional fields; in this order, because the parts hang on the board
_FIELDS = (
    (
        "",
        "name source psram is_duplex gate_tail_ms mic speaker amp_enable button volume_up volume_down led",
        "strapping_ok hold_high",
    ),
    ("mic", "i2s_id sck ws sd rate_hz bits ibuf_bytes gain_q8", "kind slot"),
    ("speaker", "i2s_id sck ws sd dma_ms", ""),
    ("button", "pin active_low pull_up", ""),
    ("volume_up", "pin active_low pull_up", ""),
    ("volume_down", "pin active_low pull_up", ""),
    ("led", "kind pin count", ""),
)
_MAY_BE_NONE = ("amp_enable", "volume_up", "volume_down", "led")


def validate(board, name):
    """Raise ConfigError("board", ...) with the first thing that cannot work."""
    _check_kind(board)
    _check_fields(board)
    if board["name"] != name:
        _fail(name, "its name is %r: write the name of the file" % (board["name"],))
    if not isinstance(board["source"], str) or not board["source"]:
        _fail(name, "source: say which document or revision the pins were read from")
    _one_of(name, "psram", board["psram"], ("octal", "quad", "none"))
    _one_of(name, "is_duplex", board["is_duplex"], (True, False))
    _number(name, "gate_tail_ms", board["gate_tail_ms"], 0, 2000)
    _check_mic(name, board["mic"])
    _number(name, "speaker dma_ms", board["speaker"]["dma_ms"], _DMA_MIN_MS, _DMA_MAX_MS)
    for key in ("button", "volume_up", "volume_down"):
        if board[key] is not None:
            _one_of(name, key + " active_low", board[key]["active_low"], (True, False))
            _one_of(name, key + " pull_up", board[key]["pull_up"], (True, False))
    if board["led"] is not None:
        _one_of(name, "led kind", board["led"]["kind"], ("neopixel",))
        _number(name, "led count", board["led"]["count"], 1, 64)
    _check_lists(name, board)
    _check_buses(name, board)
    _check_pins(name, board)


def _fail(name, text):
    raise ConfigError("board", "%s: %s" % (name, text))


def _check_fields(board):
    name = board.get("name", "?") if isinstance(board, dict) else "?"
    for part, names, optional in _FIELDS:
        fields = board[part] if part else board
        if fields is None and part in _MAY_BE_NONE:
            continue
        if not isinstance(fields, dict):
            _fail(name, "%s is %r: write a dict" % (part or "BOARD", fields))
        names = names.split()
        for field in names:
            if field not in fields:
                _fail(name, "%s is missing" % (part + " " + field).strip())
        known = names + optional.split()
        for field in fields:
            if field not in known:
                _fail(name, "%s is no field of a board" % (part + " " + str(field)).strip())


def _one_of(name, what, value, allowed):
    for choice in allowed:
        if type(value) is type(choice) and value == choice:
            return
    _fail(name, "%s is %r: write %s" % (what, value, " or ".join([repr(choice) for choice in allowed])))


def _number(name, what, value, low, high):
    if type(value) is not int or not low <= value <= high:
        _fail(name, "%s is %r: write a whole number from %d to %d" % (what, value, low, high))


def _check_kind(board):
    """Before the fields, because a PDM microphone has others."""
    mic = board.get("mic") if isinstance(board, dict) else None
    kind = mic.get("kind", "i2s") if isinstance(mic, dict) else "i2s"
    if kind != "i2s":
        _fail(
            board.get("name", "?"),
            "the microphone is %s: MicroPython cannot read that, take a board with an I2S microphone" % (kind,),
        )


def _check_mic(name, mic):
    _one_of(name, "mic slot", mic.get("slot", "left"), ("left", "right"))
    _one_of(name, "mic rate_hz", mic["rate_hz"], (_MIC_RATE_HZ,))
    _one_of(name, "mic bits", mic["bits"], (16,))
    _number(name, "mic gain_q8", mic["gain_q8"], 16, 16_384)
    block_ms = 1000 * _DMA_BLOCK_FRAMES // _MIC_RATE_HZ
    _number(
        name, "mic ibuf_bytes", mic["ibuf_bytes"],
        _MIC_IBUF_MIN_MS // block_ms * _RX_BLOCK_BYTES, _MIC_IBUF_MAX_MS // block_ms * _RX_BLOCK_BYTES,
    )  # fmt: skip
    if mic["ibuf_bytes"] % _RX_BLOCK_BYTES:
        _fail(name, "mic ibuf_bytes is %d: write a multiple of %d" % (mic["ibuf_bytes"], _RX_BLOCK_BYTES))


def _check_lists(name, board):
    for key in ("strapping_ok", "hold_high"):
        pins = board.get(key, ())
        if not isinstance(pins, (tuple, list)):
            _fail(name, "%s is %r: write the pins in brackets, (21,) for one" % (key, pins))
    for pin in board.get("strapping_ok", ()):
        if pin not in _STRAPPING_PINS:
            _fail(name, "strapping_ok names %r: write some of GPIO 0, 3, 45, 46" % (pin,))


def _check_buses(name, board):
    mic, speaker = board["mic"], board["speaker"]
    for part, bus in (("mic", mic), ("speaker", speaker)):
        _one_of(name, part + " i2s_id", bus["i2s_id"], _I2S_IDS)
    if is_shared_bus(board):
        # A machine.I2S goes one way and drives its clocks itself, so two of them cannot run on one pair of clocks.
        _fail(
            name,
            "microphone and speaker share one bus (GPIO %d, %d), which is half duplex: taking turns on it is not"
            " supported yet, take a board or a wiring with a bus for each" % (mic["sck"], mic["ws"]),
        )
    if mic["i2s_id"] == speaker["i2s_id"]:
        _fail(name, "microphone and speaker have buses of their own, so they need different i2s_id")


def _check_pins(name, board):
    used = {}
    for what, pin in _pins(board):
        _check_pin(name, what, pin, board)
        if pin in used:
            _fail(name, "GPIO %d is both %s and %s" % (pin, used[pin], what))
        used[pin] = what


def _pins(board):
    """[(what it is for, GPIO)]"""
    pins = []
    for part in ("mic", "speaker"):
        pins += [(part + " " + line, board[part][line]) for line in ("sck", "ws", "sd")]
    for key in ("button", "volume_up", "volume_down", "led"):
        if board[key] is not None:
            pins.append((key, board[key]["pin"]))
    if board["amp_enable"] is not None:
        pins.append(("amp_enable", board["amp_enable"]))
    pins += [("hold_high", pin) for pin in board.get("hold_high", ())]
    return pins


def _check_pin(name, what, pin, board):
    if type(pin) is not int or not 0 <= pin <= _GPIO_MAX or pin in _GPIO_MISSING:
        _fail(name, "%s is on %r: an ESP32-S3 has GPIO 0 to 21 and 26 to %d" % (what, pin, _GPIO_MAX))
    if pin in _FLASH_PINS:
        _fail(name, "%s is on GPIO %d, which the flash memory needs" % (what, pin))
    if pin in _OCTAL_PINS and board["psram"] == "octal":
        _fail(name, "%s is on GPIO %d, which octal PSRAM needs" % (what, pin))
    if pin in _USB_PINS:
        _fail(name, "%s is on GPIO %d, which USB needs: the board could not be recovered" % (what, pin))
    if pin in _STRAPPING_PINS and pin not in board.get("strapping_ok", ()):
        if pin != _BOOT_PIN or what not in ("button", "volume_up", "volume_down"):
            _fail(name, "%s is on GPIO %d, which decides how the chip starts: choose another pin" % (what, pin))
