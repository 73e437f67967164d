"""What the offline model can do: one module for each intent, tried in the order of `INTENTS`.

An intent is a function of the turn. It returns the next step, `Refusal` with a reason, or None when the question is for another.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.providers.offline_model.intents.ask import ask
from agent.providers.offline_model.intents.change import change
from agent.providers.offline_model.intents.describe import describe
from agent.providers.offline_model.intents.greet import greet
from agent.providers.offline_model.intents.mail import mail
from agent.providers.offline_model.intents.recall import recall
from agent.providers.offline_model.intents.remember import remember
from agent.providers.offline_model.intents.repeat import repeat
from agent.providers.offline_model.turn_view import Step, Turn

Intent = Callable[[Turn], Step | None]

INTENTS: tuple[Intent, ...] = (greet, remember, mail, recall, describe, change, repeat, ask)
