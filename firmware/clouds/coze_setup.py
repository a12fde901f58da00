"""The configuration of a Coze connection, made of the settings. Loaded once a connection, and let go of again."""

# Of what coze.py handles, these are not asked for.
_UNWANTED = (
    "conversation.cleared", "conversation.message.completed", "conversation.message.delta", "dump.audio",
)  # fmt: skip
_TRANSCRIPTS = ("conversation.audio_transcript.update", "conversation.audio.sentence_start")


def data(config, user_id, conversation_id, has_greeted, handled):
    """The data of the message that configures a connection: what `config` (config.Config) asks for.

    user_id, conversation_id: "" for none; has_greeted: the prologue was heard already; handled: names of all events
    that mean something here.
    """
    setup = {
        "chat_config": _chat_config(config, user_id, conversation_id),
        "input_audio": {
            "format": "pcm",  # the default is wav, which raw audio is not
            "codec": config.uplink_codec,
            "sample_rate": 16000 if config.uplink_codec == "pcm" else 8000,
            "channel": 1,
            "bit_depth": 16,
        },
        "output_audio": _output_audio(config),
        "turn_detection": _turn_detection(config),
        "need_play_prologue": config.prologue and not has_greeted,
        "event_subscriptions": _subscriptions(config, handled),
    }
    if config.prologue and config.prologue_text:
        setup["prologue_content"] = config.prologue_text
    asr = {}
    if config.asr_hot_words:
        asr["hot_words"] = config.asr_hot_words
    if config.asr_language:
        asr["user_language"] = config.asr_language
    if asr:
        setup["asr_config"] = asr
    return setup


def _chat_config(config, user_id, conversation_id):
    """Empty strings are not allowed, so a member without a value is left out."""
    chat = {"auto_save_history": config.auto_save_history}
    if user_id:
        chat["user_id"] = user_id
    if conversation_id:
        chat["conversation_id"] = conversation_id
    if config.custom_variables:
        chat["custom_variables"] = config.custom_variables
    if config.parameters:
        chat["parameters"] = config.parameters
    return chat


def _output_audio(config):
    pcm = {"sample_rate": config.downlink_hz, "frame_size_ms": config.pacing_frame_ms}
    if config.pacing_frames:
        pcm["limit_config"] = {"period": config.pacing_period_s, "max_frame_num": config.pacing_frames}
    audio = {
        "codec": config.downlink_codec,
        "pcm_config": pcm,
        "speech_rate": config.speech_rate,
        "loudness_rate": config.loudness_rate,
    }
    if config.voice_id:
        audio["voice_id"] = config.voice_id
    return audio


def _turn_detection(config):
    if config.mode != "free":
        return {"type": "client_interrupt"}
    detection = {
        "type": "server_vad",
        "prefix_padding_ms": config.vad_prefix_ms,
        "silence_duration_ms": config.vad_silence_ms,
    }
    if config.interrupt_keywords:
        detection["interrupt_config"] = {
            "mode": config.interrupt_keyword_mode,
            "keywords": config.interrupt_keywords,
        }
    return detection


def _subscriptions(config, handled):
    """Non-empty, this list is exclusive: acknowledgements and errors must be named too (coze.md 3.6, 3.8). Without
    transcripts one of them is wanted all the same: an empty one means that no answer will come.
    """
    return [name for name in handled if name not in _UNWANTED and (config.log_transcripts or name not in _TRANSCRIPTS)]
