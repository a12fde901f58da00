"""What an error of Coze asks for, as errors of ours. Loaded when there is one, and let go of again."""

from .. import errors

# What each error number asks for (coze.md 7.1). A number that is not here concerns this question only.
_ERROR_KINDS = {
    4000: errors.CONFIG,
    4001: errors.TURN,
    4002: errors.BUSY,
    4003: errors.CONFIG,
    4006: errors.CONFIG,
    4008: errors.REFUSED,
    4009: errors.BUSY,
    4011: errors.REFUSED,
    4012: errors.REFUSED,
    4013: errors.BUSY,
    4015: errors.AGENT,
    4016: errors.BUSY,
    4019: errors.REFUSED,
    4020: errors.BUSY,
    4021: errors.CONFIG,
    4022: errors.REFUSED,
    4027: errors.REFUSED,
    4028: errors.REFUSED,
    4100: errors.TOKEN,
    4101: errors.REFUSED,
    4102: errors.BUSY,
    4200: errors.CONFIG,
    5000: errors.BUSY,
    700012006: errors.TOKEN,
}
_ERROR_CURES = {
    errors.CONFIG: "check bot_id, the codecs and the other cloud settings",
    errors.TOKEN: "make a new token and provision it",
    errors.BUSY: "the cloud is busy, the speaker tries again by itself",
    errors.REFUSED: "see the agent's page: token permissions, balance and quota",
    errors.AGENT: "publish the agent to the API channel",
    errors.TURN: "ask again",
}


def refused(status, log_id):
    """The error of a handshake that was answered with this HTTP status."""
    if status == 401:
        kind, why = errors.TOKEN, "the token is invalid or has expired"
    elif status == 403:
        kind, why = errors.REFUSED, "the token may not use this agent"
    elif status == 429 or status >= 500:
        kind, why = errors.BUSY, "the service is overloaded or down"
    else:
        kind, why = errors.CONFIG, "cloud_url or bot_id is wrong"
    return errors.CloudError("HTTP %d: %s; %s" % (status, why, _ERROR_CURES[kind]), kind, status, log_id)


def failed(code, text, log_id, token):
    """The error of an error number; text: the cloud's, which may repeat the token."""
    kind = _ERROR_KINDS.get(code, errors.TURN)
    if token and token in text:
        text = text.replace(token, "***")
    return errors.CloudError("%d %s; %s" % (code, text[:200], _ERROR_CURES[kind]), kind, code, log_id)
