"""Board data: the boards of this repository are right, and each kind of wrong one is refused with its reason."""

from check import raises

from firmware import boards, config
from firmware.errors import ConfigError


def a_board(**changes):
    """A copy of bread_compact_wifi; mic_sd=3 changes board["mic"]["sd"], psram="quad" changes board["psram"]."""
    board = {}
    for key, value in boards.load("bread_compact_wifi").items():
        board[key] = dict(value) if isinstance(value, dict) else value
    for key, value in changes.items():
        part, _, field = key.partition("_")
        if part in ("mic", "speaker", "button", "led") and field:
            board[part][field] = value
        else:
            board[key] = value
    return board


def refuse(words, **changes):
    with raises(ConfigError, words) as caught:
        boards.validate(a_board(**changes), "bread_compact_wifi")
    assert caught.error.key == "board" and "bread_compact_wifi: " in caught.error.text


def accept(**changes):
    boards.validate(a_board(**changes), "bread_compact_wifi")


NAMES = (
    "bread_compact_wifi",
    "sim",
    "xingzhi_cube_1_54",
    "waveshare_touch_lcd_1_85",
    "lilygo_t_circle_s3",
    "elatoai_diy",
)


def test_every_board_is_valid():
    for name in NAMES:
        assert boards.load(name)["name"] == name


# Read from the sources that the files name: microphone (ws, sck, sd), loudspeaker (sd, sck, ws), the others.
WIRING = {
    "bread_compact_wifi": ((4, 5, 6), (7, 15, 16), {"button": 0, "volume_up": 40, "volume_down": 39, "led": 48}),
    "xingzhi_cube_1_54": ((4, 5, 6), (7, 15, 16), {"button": 0, "volume_up": 40, "volume_down": 39, "hold_high": 21}),
    "waveshare_touch_lcd_1_85": ((2, 15, 39), (47, 48, 38), {"button": 0, "hold_high": 7}),
    "lilygo_t_circle_s3": ((9, 7, 8), (6, 5, 4), {"button": 0, "amp_enable": 45}),
    "elatoai_diy": ((4, 1, 14), (7, 6, 5), {"button": 2, "amp_enable": 10}),
}


def test_the_wirings_are_the_published_ones():
    for name, (heard, spoken, others) in WIRING.items():
        board = boards.load(name)
        mic, speaker = board["mic"], board["speaker"]
        assert (mic["ws"], mic["sck"], mic["sd"]) == heard, name
        assert (speaker["sd"], speaker["sck"], speaker["ws"]) == spoken, name
        for key in ("button", "volume_up", "volume_down", "led"):
            assert (board[key] and board[key]["pin"]) == others.get(key), (name, key)
        assert board["amp_enable"] == others.get("amp_enable"), name
        assert board.get("hold_high", (None,))[0] == others.get("hold_high"), name
        assert not board["is_duplex"], name


def test_what_the_boards_have_besides_pins():
    for name in NAMES:
        board = boards.load(name)
        assert board["psram"] == ("none" if name == "elatoai_diy" else "octal"), name
        assert board["mic"].get("slot", "left") == ("right" if name == "waveshare_touch_lcd_1_85" else "left"), name


def test_the_simulated_board_differs_in_the_echo_and_in_a_microphone_at_full_scale():
    real, simulated = boards.load("bread_compact_wifi"), boards.load("sim")
    assert sorted([key for key in real if real[key] != simulated[key]]) == ["is_duplex", "mic", "name", "source"]
    assert [key for key in real["mic"] if real["mic"][key] != simulated["mic"][key]] == ["gain_q8"]


def test_an_unknown_board():
    with raises(ConfigError, "there is no file boards/bread_compact.py") as caught:
        boards.load("bread_compact")
    assert caught.error.key == "board"


def test_fields_that_are_missing_or_no_fields():
    board = a_board()
    del board["mic"]["sck"]
    with raises(ConfigError, "mic sck is missing"):
        boards.validate(board, board["name"])
    board = a_board()
    del board["button"]
    with raises(ConfigError, "button is missing"):
        boards.validate(board, board["name"])
    refuse("speaker volume is no field", speaker_volume=3)
    refuse("dsp is no field", dsp=3)
    refuse("button is None: write a dict", button=None)
    refuse("led is 48: write a dict", led=48)
    with raises(ConfigError, "BOARD is 7"):
        boards.validate(7, "x")


def test_absent_parts():
    accept(led=None, volume_up=None, volume_down=None)


def test_the_name_is_the_file():
    with raises(ConfigError, "write the name of the file"):
        boards.validate(a_board(), "other")
    refuse("source: say which", source="")


def test_two_parts_on_one_pin():
    refuse("GPIO 48 is both speaker sd and led", speaker_sd=48)
    refuse("GPIO 5 is both mic sck and speaker sck", speaker_sck=5)
    refuse("GPIO 6 is both mic sd and speaker sd", speaker_sd=6)
    refuse("GPIO 0 is both button and volume_up", volume_up={"pin": 0, "active_low": True, "pull_up": True})
    refuse("GPIO 7 is both speaker sd and amp_enable", amp_enable=7)


def test_pins_that_octal_psram_needs():
    for pin in (33, 37):
        refuse("which octal PSRAM needs", mic_sd=pin)
        accept(mic_sd=pin, psram="quad")
        accept(mic_sd=pin, psram="none")
    accept(mic_sd=38)


def test_pins_that_the_chip_does_not_have_or_needs():
    for pin in (22, 25, 49, -1, "6", True, None, 6.0):
        refuse("an ESP32-S3 has GPIO", mic_sd=pin)
    for pin in (26, 32):
        refuse("which the flash memory needs", mic_sd=pin, psram="quad")
    for pin in (19, 20):
        refuse("which USB needs", mic_sd=pin)


def test_strapping_pins():
    for pin in (0, 3, 45, 46):
        refuse("decides how the chip starts", amp_enable=pin, button_pin=47)
        accept(amp_enable=pin, button_pin=47, strapping_ok=(pin,))
    for pin in (3, 45, 46):
        refuse("decides how the chip starts", button_pin=pin)
    accept(button_pin=0)
    refuse("GPIO 3, which decides how the chip starts", hold_high=(3,))
    refuse("strapping_ok names 7", strapping_ok=(7,))
    refuse("strapping_ok is 45: write the pins in brackets", strapping_ok=45)


def test_pins_that_keep_the_power_on():
    accept(hold_high=())
    accept(hold_high=(21, 1))
    accept(hold_high=[21])
    refuse("GPIO 7 is both speaker sd and hold_high", hold_high=(7,))
    refuse("GPIO 21 is both hold_high and hold_high", hold_high=(21, 21))
    refuse("hold_high is 21: write the pins in brackets, (21,) for one", hold_high=21)
    refuse("hold_high is on '21'", hold_high=("21",))


def test_microphones_that_cannot_work():
    refuse("the microphone is pdm", mic_kind="pdm")
    board = a_board(mic_kind="pdm")
    del board["mic"]["sck"]  # a PDM microphone has none, and that is not what is wrong
    with raises(ConfigError, "the microphone is pdm"):
        boards.validate(board, board["name"])
    accept(mic_kind="i2s")
    accept(mic_slot="left")
    accept(mic_slot="right")
    refuse("mic slot is 'both': write 'left' or 'right'", mic_slot="both")
    refuse("mic rate_hz is 8000", mic_rate_hz=8000)
    refuse("mic bits is 32", mic_bits=32)
    refuse("mic gain_q8", mic_gain_q8=0)
    refuse("mic ibuf_bytes is 4096", mic_ibuf_bytes=4096)
    refuse("mic ibuf_bytes is 131072", mic_ibuf_bytes=131072)
    refuse("a multiple of 2048", mic_ibuf_bytes=9000)


def test_buses():
    refuse("need different i2s_id", speaker_i2s_id=0)
    refuse("i2s_id is 2: write 0 or 1", mic_i2s_id=2)
    assert not boards.is_shared_bus(a_board())


def test_one_bus_for_both_directions_is_half_duplex_and_not_supported_yet():
    shared = {"speaker_sck": 5, "speaker_ws": 4}
    words = "share one bus (GPIO 5, 4), which is half duplex"
    for i2s_id in (0, 1):
        for is_duplex in (True, False):
            refuse(words, speaker_i2s_id=i2s_id, is_duplex=is_duplex, **shared)
    assert boards.is_shared_bus(a_board(**shared))
    refuse("GPIO 5 is both mic sck and speaker sck", speaker_sck=5)
    refuse("GPIO 4 is both mic ws and speaker ws", speaker_ws=4)


def test_truth_values_are_no_numbers():
    refuse("is_duplex is 1", is_duplex=1)
    refuse("button active_low is 0", button_active_low=0)
    refuse("gate_tail_ms is True", gate_tail_ms=True)
    refuse("led count is 0", led_count=0)
    refuse("led kind is 'apa102'", led_kind="apa102")


def test_the_speaker_queue_is_60_to_100_ms_of_whole_blocks_at_every_rate():
    refuse("speaker dma_ms is 50", speaker_dma_ms=50)
    for dma_ms in range(60, 101):
        board = a_board(speaker_dma_ms=dma_ms)
        boards.validate(board, board["name"])
        for rate_hz in (8000, 16000, 24000):
            ibuf_bytes = boards.speaker_ibuf_bytes(board, rate_hz)
            assert ibuf_bytes % 512 == 0 and ibuf_bytes >= 1024
            queue_ms = ibuf_bytes * 1000 / (2 * rate_hz)
            assert 60 <= queue_ms <= 100, (dma_ms, rate_hz, queue_ms)
            assert queue_ms <= max(dma_ms, 75), (dma_ms, rate_hz, queue_ms)
    assert [boards.speaker_ibuf_bytes(a_board(), hz) for hz in (8000, 16000, 24000)] == [1536, 3072, 4608]


def test_the_microphone_of_a_board_with_psram_outlasts_a_loop_that_stands_still():
    """50 ms for 600 bytes of reports on the UART, and a collection, meet at a press that interrupts an answer."""
    for name in NAMES:
        board = boards.load(name)
        blocks = board["mic"]["ibuf_bytes"] // (256 * 8)
        if board["psram"] != "none":
            assert (blocks - 1) * 16 >= 100, name


def test_remarks_on_settings_that_a_board_cannot_honour():
    free = config.parse('{"bot_id": "1", "token": "t", "mode": "free", "interrupt_keywords": ["stop now"]}')
    held = config.parse('{"bot_id": "1", "token": "t"}')
    assert len(boards.remarks(a_board(), free)) == 2
    assert boards.remarks(a_board(), held) == []
    assert boards.remarks(boards.load("sim"), free) == []


def test_a_board_that_no_file_can_have_is_unknown():
    for name in ("a\0b", "..", "a/b", "ä"):
        with raises(ConfigError, "board"):
            boards.load(name)
