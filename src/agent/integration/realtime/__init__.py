"""A realtime service that clients of Pusher speak to as they are: channels, presence, client events, and its HTTP API."""
