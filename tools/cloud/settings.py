"""`chat.update`: what may be configured, its defaults, and the refusal (error 4000) that names the field.

One table; the rest walks it. A member nobody documents is collected, not refused: the real service ignores it too.
"""

from .audio import InputFormat, WireFormat

SAMPLE_RATES_HZ = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
PUSH_TO_TALK, FREE_TALK = "client_interrupt", "server_vad"
_ABSENT = object()


class BadParameter(Exception):
    """A message of the client breaks the protocol; becomes an `error` event with this code and text."""

    def __init__(self, text, code=4000):
        super().__init__(text)
        self.code = code


# Each rule is (default, check); check(value) returns None or the words for what is allowed.


def _is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _flag(default):
    return default, lambda value: None if isinstance(value, bool) else "true or false"


def _text(default=_ABSENT, allow_empty=True):
    def check(value):
        if not isinstance(value, str):
            return "a string"
        return None if value or allow_empty else "a non-empty string (leave the key out when unknown)"

    return default, check


def _one_of(default, *choices):
    return default, lambda value: None if value in choices and type(value) is type(choices[0]) else "one of %s" % (
        ", ".join(map(str, choices))
    )


def _number(default, least, most, is_whole=True):
    def check(value):
        kind = _is_int(value) if is_whole else _is_number(value)
        return None if kind and least <= value <= most else "%s from %s to %s" % (
            "an integer" if is_whole else "a number", least, most
        )

    return default, check


def _texts(default=_ABSENT):
    def check(value):
        return None if isinstance(value, list) and all(isinstance(x, str) for x in value) else "a list of strings"

    return default, check


def _text_map(pairs=None, key_chars=None, value_chars=None, keys=None, is_name=False):
    def check(value):
        if not isinstance(value, dict) or not all(isinstance(x, str) for x in value.values()):
            return "an object of strings"
        if pairs is not None and len(value) > pairs:
            return "at most %d pairs" % pairs
        if key_chars and not all(1 <= len(k) <= key_chars and 1 <= len(v) <= value_chars for k, v in value.items()):
            return "keys of 1 to %d and values of 1 to %d characters" % (key_chars, value_chars)
        if keys is not None and not set(value) <= set(keys):
            return "only the keys %s" % ", ".join(keys)
        if is_name and not all(k.replace("_", "a").isascii() and k.replace("_", "a").isalpha() for k in value):
            return "names of letters and _ only"
        return None

    return _ABSENT, check


def _any_map():
    return _ABSENT, lambda value: None if isinstance(value, dict) else "an object"


def _keywords():
    def check(value):
        if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
            return "a list of strings"
        if len(value) > 5:
            return "at most 5 keywords"
        if not all(6 <= len(x.encode()) <= 24 for x in value):
            return "keywords of 6 to 24 bytes each"
        if any(not (c.isalnum() or c == " ") for x in value for c in x):
            return "keywords without punctuation"
        return None

    return _ABSENT, check


_LIMIT = {"period": _number(_ABSENT, 1, 3600), "max_frame_num": _number(_ABSENT, 1, 100000)}

SCHEMA = {
    "chat_config": {
        "user_id": _text(),
        "conversation_id": _text(allow_empty=False),
        "auto_save_history": _flag(True),
        "meta_data": _text_map(pairs=16, key_chars=64, value_chars=512),
        "custom_variables": _text_map(is_name=True),
        "extra_params": _text_map(keys=("latitude", "longitude")),
        "parameters": _any_map(),
    },
    "input_audio": {
        "format": _one_of("wav", "pcm", "wav", "ogg"),
        "codec": _one_of("pcm", "pcm", "opus", "g711a", "g711u"),
        "sample_rate": _one_of(24000, *SAMPLE_RATES_HZ),
        "channel": _one_of(1, 1, 2),
        "bit_depth": _one_of(16, 8, 16, 24),
    },
    "output_audio": {
        "codec": _one_of("pcm", "pcm", "g711a", "g711u", "opus", "mp3"),
        "pcm_config": {
            "sample_rate": _one_of(24000, *SAMPLE_RATES_HZ),
            "frame_size_ms": _number(_ABSENT, 0, 1000, is_whole=False),
            "limit_config": _LIMIT,
        },
        "opus_config": {
            "sample_rate": _one_of(24000, 8000, 12000, 16000, 24000, 48000),
            "bitrate": _number(48000, 500, 512000),
            "use_cbr": _flag(False),
            "frame_size_ms": (10, lambda value: None if value in (2.5, 5, 10, 20, 40, 60) else
                              "one of 2.5, 5, 10, 20, 40, 60"),
            "limit_config": _LIMIT,
        },
        "speech_rate": _number(0, -50, 100),
        "loudness_rate": _number(0, -50, 100),
        "voice_id": _text(),
        "context_texts": _text(),
        "emotion_config": {
            "emotion": _one_of(_ABSENT, "happy", "sad", "angry", "surprised", "fear", "hate", "excited", "coldness",
                               "neutral"),
            "emotion_scale": _number(4.0, 1.0, 5.0, is_whole=False),
        },
    },
    "turn_detection": {
        "type": _one_of(PUSH_TO_TALK, PUSH_TO_TALK, FREE_TALK, "semantic_vad"),
        "prefix_padding_ms": _number(600, 0, 10000),
        "silence_duration_ms": _number(500, 100, 10000),
        "interrupt_config": {
            "mode": _one_of(_ABSENT, "keyword_contains", "keyword_prefix"),
            "keywords": _keywords(),
        },
        "semantic_vad_config": {
            "silence_threshold_ms": _number(300, 0, 10000),
            "semantic_unfinished_wait_time_ms": _number(500, 100, 2000),
        },
    },
    "asr_config": {
        "hot_words": _texts(),
        "context": _text(),
        "context_type": _text(),
        "user_language": _text("common", allow_empty=False),
        "enable_ddc": _flag(True),
        "enable_itn": _flag(True),
        "enable_punc": _flag(True),
        "stream_mode": _one_of("bidirectional_stream", "bidirectional_stream", "output_no_stream"),
        "enable_nostream": _flag(False),
        "enable_emotion": _flag(False),
        "enable_gender": _flag(False),
        "sensitive_words_filter": {
            "system_reserved_filter": _flag(False),
            "filter_with_empty": _texts(),
            "filter_with_signed": _texts(),
        },
    },
    "need_play_prologue": _flag(False),
    "prologue_content": _text(),
    "event_subscriptions": _texts(),
    "voice_print_config": {
        "group_id": _text(),
        "score": _number(40, 0, 100),
        "reuse_voice_info": _flag(False),
    },
    "voice_processing_config": {
        "enable_ans": _flag(_ABSENT),
        "enable_pdns": _flag(_ABSENT),
        "voice_print_feature_id": _text(),
    },
}

# Objects that chat.updated shows only when the client named them.
_OPTIONAL = ("opus_config", "limit_config", "emotion_config", "interrupt_config", "semantic_vad_config",
             "sensitive_words_filter", "voice_print_config", "voice_processing_config", "asr_config")


class Settings:
    """One accepted `chat.update`: `effective` is the whole object as chat.updated reports it; `unknown` the paths
    of members that the protocol does not have."""

    def __init__(self, data):
        self.unknown = []
        self.effective = self._fill(SCHEMA, data, "")
        self._check_audio()
        self._check_turns()

    def _fill(self, schema, data, path):
        if not isinstance(data, dict):
            raise BadParameter("%s: must be an object" % (path[:-1] or "data"))
        self.unknown += [path + key for key in data if key not in schema]
        filled = {}
        for key, rule in schema.items():
            value = data.get(key)
            if isinstance(rule, dict):
                if value is not None or key not in _OPTIONAL:
                    filled[key] = self._fill(rule, {} if value is None else value, path + key + ".")
                continue
            default, check = rule
            if value is None:
                if default is not _ABSENT:
                    filled[key] = default
                continue
            wanted = check(value)
            if wanted:
                raise BadParameter("%s%s: is %s, must be %s" % (path, key, _shown(value), wanted))
            filled[key] = value
        return filled

    def _check_audio(self):
        source, sink = self.effective["input_audio"], self.effective["output_audio"]
        if source["codec"] in ("g711a", "g711u"):
            if source["format"] != "pcm":
                raise BadParameter("input_audio.format: must be pcm with codec %s" % source["codec"])
            if source["sample_rate"] != 8000:
                raise BadParameter("input_audio.sample_rate: must be 8000 with codec %s" % source["codec"])
        if sink["codec"] in ("opus", "mp3"):
            raise BadParameter("output_audio.codec: this emulated cloud cannot encode %s" % sink["codec"])
        pcm = sink["pcm_config"]
        if sink["codec"] != "pcm":
            pcm["sample_rate"] = 8000
        if "limit_config" in pcm:
            for key in ("period", "max_frame_num"):
                if key not in pcm["limit_config"]:
                    raise BadParameter("output_audio.pcm_config.limit_config.%s: is missing" % key)
            if not pcm.get("frame_size_ms"):
                raise BadParameter("output_audio.pcm_config.frame_size_ms: limit_config needs it")

    def _check_turns(self):
        turns = self.effective["turn_detection"]
        if turns["type"] == "semantic_vad":
            raise BadParameter("turn_detection.type: semantic_vad belongs to the enterprise edition")
        if turns["type"] == FREE_TALK and not self.input_format().is_decodable:
            raise BadParameter("input_audio.codec: this emulated cloud has no VAD for opus")
        interrupt = turns.get("interrupt_config")
        if interrupt and ("mode" in interrupt) != bool(interrupt.get("keywords")):
            raise BadParameter("turn_detection.interrupt_config: needs both mode and keywords")

    def input_format(self):
        audio = self.effective["input_audio"]
        return InputFormat(audio["codec"], audio["sample_rate"], audio["channel"], audio["bit_depth"])

    def output_format(self):
        audio = self.effective["output_audio"]
        return WireFormat(audio["codec"], audio["pcm_config"]["sample_rate"])

    @property
    def container(self):
        return self.effective["input_audio"]["format"]

    @property
    def is_free_talk(self):
        return self.effective["turn_detection"]["type"] == FREE_TALK

    @property
    def prefix_ms(self):
        return self.effective["turn_detection"]["prefix_padding_ms"]

    @property
    def silence_ms(self):
        return self.effective["turn_detection"]["silence_duration_ms"]

    @property
    def interrupt(self):
        """None when any speech interrupts, else {"mode", "keywords"}."""
        return self.effective["turn_detection"].get("interrupt_config") or None

    @property
    def conversation_id(self):
        return self.effective["chat_config"].get("conversation_id")

    @property
    def frame_bytes(self):
        """Bytes of one downlink packet, 0 for packets of no fixed size."""
        pcm = self.effective["output_audio"]["pcm_config"]
        samples = round(pcm.get("frame_size_ms", 0) * pcm["sample_rate"] / 1000)
        return samples * self.output_format().bytes_per_sample

    @property
    def window(self):
        """(period in ms, packets in it), or None without pacing."""
        limit = self.effective["output_audio"]["pcm_config"].get("limit_config")
        return (limit["period"] * 1000, limit["max_frame_num"]) if limit else None

    @property
    def is_history_saved(self):
        return self.effective["chat_config"]["auto_save_history"]

    def is_subscribed(self, event_type):
        listed = self.effective.get("event_subscriptions")
        return not listed or event_type in listed

    def keyword_in(self, text):
        """Whether what was heard may interrupt an answer."""
        interrupt = self.interrupt
        if interrupt is None:
            return True
        text, words = text.casefold(), [word.casefold() for word in interrupt["keywords"]]
        if interrupt["mode"] == "keyword_prefix":
            return any(text.startswith(word) for word in words)
        return any(word in text for word in words)


def _shown(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
