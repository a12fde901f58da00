"""The beeps of each errors.KINDS word, and of "tap": l, m and h are notes, - is a pause. Loaded for each beep."""

# Low and slow: a person must do something. Rising: it may be over by itself. Falling: this question only.
PATTERNS = {
    "tap": "h",
    "config": "lll",
    "token": "llm",
    "refused": "llh",
    "wifi": "lmh",
    "password": "lhl",
    "network": "lhm",
    "address": "lmm",
    "agent": "lhh",
    "clock": "l-mh",
    "dns": "lm-h",
    "connect": "lm",
    "tls": "l-l-m",
    "timeout": "l-m",
    "slow": "m-m-m",
    "busy": "m-h",
    "protocol": "hlh",
    "turn": "hl",
    "audio": "h-h-l",
}
OTHER = "hll"
