"""The speaker: one asyncio loop between a microphone, a loudspeaker and a voice-agent cloud."""
