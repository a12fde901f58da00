"""The speaker: one asyncio loop between a microphone, a loudspeaker and a voice-agent cloud."""

VERSION = "0.1.0"  # of the application, as it stands in a slot and as it tells a host
