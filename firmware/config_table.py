"""Every setting of the speaker: name, kind, default, limits, help. The one place for each of them.

Kinds and their limits:

    BOOL     None
    INT      (low, high), or (low, high, special): `special` is allowed as well and the help says what it means
    CHOICE   the words allowed
    TEXT     (least bytes, most bytes, form): UTF-8 bytes; form: a key of FORMS, "" for any printable text
    SECRET   as TEXT, and never shown anywhere
    TEXTS    (most items, least bytes, most bytes, form)
    MAP      (most items, most bytes of a value, form of a name): text -> text
    OBJECT   None: any JSON object

config.py lets go of this module when the settings are read: the help alone is some kilobytes.
"""

BOOL = "bool"
INT = "int"
CHOICE = "choice"
TEXT = "text"
SECRET = "secret"
TEXTS = "texts"
MAP = "map"
OBJECT = "object"

REQUIRED = {"coze": ("bot_id", "token")}  # by cloud: the settings that have no usable default

FORMS = {
    "digits": "digits only",
    "ascii": "letters, digits and signs without spaces",
    "name": "lower-case letters, digits and _",
    "letters": "letters and _",
    "word": "no punctuation",
}

_CODECS = ("pcm", "g711a", "g711u")
_MS_MAX = 86_400_000  # one day

ROWS = (
    # The board and the agent
    ("board", TEXT, "bread_compact_wifi", (1, 40, "name"), "board file: boards/NAME.py"),
    ("cloud", CHOICE, "coze", ("coze",), "which cloud the agent lives in"),
    ("cloud_url", TEXT, "wss://ws.coze.cn/v1/chat", (1, 256, "ascii"), "address of the agent's WebSocket"),
    ("bot_id", TEXT, "", (0, 32, "digits"), "the agent: the digits behind /bot/ in the address of its page"),
    ("token", SECRET, "", (0, 2048, "ascii"), "access token with the permission to chat, without the word Bearer"),
    ("user_id", TEXT, "", (0, 64, ""), "who speaks: keeps memories apart; empty: the number of the chip"),
    ("device_id", TEXT, "", (0, 19, "digits"), "number that the cloud's support can look up"),
    ("conversation_id", TEXT, "", (0, 64, "ascii"), "go on with this conversation; empty: a new one at each start"),
    ("voice_id", TEXT, "", (0, 64, "ascii"), "voice of the answers; empty: the agent's own"),
    ("speech_rate", INT, 0, (-50, 100), "-50 speaks at half speed, 100 at double speed"),
    ("loudness_rate", INT, 0, (-50, 100), "-50 halves the loudness of the voice, 100 doubles it"),
    ("prologue", BOOL, False, None, "the agent greets when the connection is made"),
    ("prologue_text", TEXT, "", (0, 512, ""), "what it says then; empty: the agent's own opening line"),
    ("auto_save_history", BOOL, True, None, "false: the cloud forgets every turn at once"),
    ("custom_variables", MAP, {}, (32, 1024, "letters"), "values for {{name}} in the agent's prompt"),
    ("parameters", OBJECT, {}, None, "inputs of a dialogue flow"),
    ("asr_hot_words", TEXTS, [], (100, 1, 64, ""), "words that the recognition should expect"),
    ("asr_language", TEXT, "", (0, 16, "ascii"), "language of the user in the cloud's code; empty: its default"),
    ("log_transcripts", BOOL, True, None, "print what was heard and said on the serial port"),
    # Talking
    ("mode", CHOICE, "ptt_hold", ("ptt_hold", "ptt_toggle", "free"), "hold and speak; click, speak, click; free talk"),
    ("tap_ms", INT, 250, (50, 1000), "a hold shorter than this is a tap and asks nothing"),
    ("multi_tap_ms", INT, 400, (100, 2000), "two taps within this time stop everything"),
    ("preroll_ms", INT, 300, (0, 2000), "sound from before the press that still belongs to the question"),
    ("tail_ms", INT, 120, (0, 1000), "sound from after the release that still belongs to the question"),
    ("listen_max_ms", INT, 60_000, (1000, 600_000), "longest question"),
    ("press_wait_ms", INT, 5000, (500, 30_000), "a press without a connection records so long, then fails aloud"),
    ("answer_wait_ms", INT, 20_000, (1000, 120_000), "longest wait for an answer to begin"),
    ("stall_ms", INT, 10_000, (1000, 120_000), "an answer that stops arriving for so long is over"),
    ("free_idle_ms", INT, 120_000, (5000, _MS_MAX, 0), "free talk ends after so much silence; 0: never"),
    ("vad_prefix_ms", INT, 600, (0, 5000), "free talk: sound kept from before the detected start of speech"),
    ("vad_silence_ms", INT, 500, (100, 5000), "free talk: silence that ends a question"),
    ("interrupt_keywords", TEXTS, [], (5, 6, 24, "word"), "free talk: only these words interrupt; empty: any speech"),
    ("interrupt_keyword_mode", CHOICE, "keyword_contains", ("keyword_contains", "keyword_prefix"),
     "the keyword anywhere in the sentence, or at its start"),
    # Sound
    ("volume_percent", INT, 70, (0, 150), "loudness at the start; above 100 loud passages clip"),
    ("uplink_codec", CHOICE, "g711a", _CODECS, "question: pcm is 256 kbit/s before base64, g711 a quarter of it"),
    ("downlink_codec", CHOICE, "g711a", _CODECS, "answer: pcm sounds better, g711 needs least memory and air"),
    ("downlink_hz", INT, 16_000, (8000, 24_000), "answer in pcm: 8000, 16000 or 24000; g711 is always 8000"),
    ("prebuffer_ms", INT, 120, (0, 2000), "hold back the start of an answer so long, so that it does not stutter"),
    ("answer_max_s", INT, 60, (5, 600), "longest answer that surely fits into the memory"),
    ("pacing_frame_ms", INT, 60, (10, 1000), "length of one piece of an answer"),
    ("pacing_frames", INT, 17, (1, 1000, 0), "pieces that the cloud sends per period; 0: as fast as it can"),
    ("pacing_period_s", INT, 1, (1, 5), "length of that period"),
    ("ring_bytes", INT, 0, (2048, 4_194_304, 0), "memory for the answer; 0: as much as pacing and answer_max_s need"),
    ("ring_full_wait_ms", INT, 2000, (0, 10_000), "a full memory pauses reading so long, then the answer is cut"),
    ("uplink_queue_ms", INT, 0, (500, 60_000, 0), "sound that may wait for a connection; 0: what press_wait_ms needs"),
    # The connection
    ("wifi_ssid", TEXT, "", (0, 32, ""), "name of the Wi-Fi network"),
    ("wifi_password", SECRET, "", (8, 64, ""), "its password; empty: an open network"),
    ("wifi_timeout_ms", INT, 15_000, (1000, 120_000), "longest wait for Wi-Fi and an address"),
    ("ntp_host", TEXT, "pool.ntp.org", (1, 128, "ascii"), "time server: without the time no certificate is valid"),
    ("clock_timeout_ms", INT, 10_000, (1000, 120_000), "longest wait for the time"),
    ("tls_verify", BOOL, True, None, "false: anybody on the way can listen and speak; for experiments only"),
    ("tls_roots", TEXT, "tls_roots", (1, 128, ""), "folder with the root certificates, one .der file each"),
    ("allow_plain_ws", BOOL, False, None, "true: ws:// may go to another machine, token and voice in clear"),
    ("websocket", CHOICE, "pipit", ("pipit", "aiohttp"), "who speaks WebSocket: this speaker itself, or aiohttp"),
    ("connect_timeout_ms", INT, 15_000, (1000, 120_000), "longest wait for TCP, TLS and the WebSocket together"),
    ("idle_timeout_ms", INT, 45_000, (1000, 600_000), "a connection on which nothing arrives for so long is dead"),
    ("close_timeout_ms", INT, 2000, (0, 30_000), "longest wait for the cloud's goodbye"),
    ("ping_ms", INT, 17_000, (15_000, 20_000), "time between two pings"),
    ("keep_link_ms", INT, 300_000, (1000, _MS_MAX, 0), "an unused connection is kept so long; 0: for ever"),
    ("retry_min_ms", INT, 300, (50, 60_000), "first pause before a new attempt"),
    ("retry_max_ms", INT, 60_000, (100, 3_600_000), "longest pause before a new attempt"),
    ("message_max_bytes", INT, 65_536, (4096, 1_048_576), "longest message taken from the cloud"),
    ("rx_buffer_bytes", INT, 0, (1024, 65_536, 0), "memory for reading; 0: by pacing; a longer message gets its own"),
    # The device
    ("watchdog_ms", INT, 0, (5000, 120_000, 0), "a speaker of which a part stands still so long is reset; 0: never"),
)  # fmt: skip
