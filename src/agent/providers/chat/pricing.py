"""Computes what a model call costs, from the prices that the operator gave.

There is no built-in price table: providers change prices without notice, and a cost that is silently wrong is
worse than an unknown one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from agent.errors import ConfigurationError

Prices = Mapping[str, tuple[float, float]]

_TOKENS_PER_PRICE = 1_000_000


def parse_prices(text: str) -> Prices:
    """Return the setting's prices as {model: (input, output)} in US dollars per million tokens. Raises `ConfigurationError`."""
    if not text.strip():
        return {}
    try:
        parsed = json.loads(text)
        prices = {str(name): (float(price[0]), float(price[1])) for name, price in parsed.items()}
    except (ValueError, TypeError, AttributeError, LookupError):
        raise _not_prices(text) from None
    if not all(math.isfinite(part) and part >= 0 for price in prices.values() for part in price):
        raise _not_prices(text)
    return prices


def cost_of(model: str, *, input_tokens: int, output_tokens: int, prices: Prices) -> float | None:
    """Return the US dollars of a call, or None if the price of `model` ("openai:gpt-x" or "gpt-x") is unknown."""
    price = prices.get(model) or prices.get(model.partition(":")[2])
    if price is None:
        return None
    return (input_tokens * price[0] + output_tokens * price[1]) / _TOKENS_PER_PRICE


def _not_prices(text: str) -> ConfigurationError:
    return ConfigurationError(
        "AGENT_MODEL_PRICES must be JSON with US dollars per million input and output tokens, such as "
        f'{{"openai:gpt-x": [0.5, 2]}}, not {text[:100]!r}'
    )
