"""Messaging: requests, decisions and questions in Slack and Telegram. A surface: it calls operations and holds no rule."""

from agent.messaging.alert_courier import AlertCourier
from agent.messaging.courier import Courier

__all__ = ["AlertCourier", "Courier"]
