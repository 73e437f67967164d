"""Builds the chat model that a provider string names: one entry of `_BUILDERS` for each provider.

`openai:` is OpenAI or any server at OPENAI_BASE_URL, `deepseek:` is DeepSeek, `offline` is the built-in model, and every
other prefix goes to LangChain's `init_chat_model`. A provider's library is imported when the provider is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import SecretStr, ValidationError

from agent.errors import ConfigurationError
from agent.settings import Settings
from agent.settings.model_options import ModelOptions
from agent.text.faults import faults

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

OFFLINE = "offline"
DEFAULT_OPENAI_MODEL = "gpt-5.4-mini"  # the newest of OpenAI's small models that speaks Chat Completions with tools
DEFAULT_DEEPSEEK_MODEL = "deepseek-v4-flash"
_NO_KEY = "no-key"  # local servers need none, but the client insists on one
# DeepSeek's thinking models refuse a tool call without its reasoning, and an empty one too.
_NO_REASONING = {"reasoning_content": "(The reasoning of this step is not known.)"}
# Google names this value for calls that another model made.
_NO_SIGNATURE = {"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}


def chosen_models(settings: Settings) -> tuple[str, ...]:
    """Return the provider strings to try in order: the setting, or what the keys allow, then the fallbacks."""
    fallbacks = [name.strip() for name in settings.model_fallbacks.split(",") if name.strip()]
    return tuple(dict.fromkeys([settings.model.strip() or _model_by_keys(settings), *fallbacks]))


def _model_by_keys(settings: Settings) -> str:
    if settings.openai_api_key or settings.openai_base_url:
        return f"openai:{DEFAULT_OPENAI_MODEL}"
    if settings.deepseek_api_key:
        return f"deepseek:{DEFAULT_DEEPSEEK_MODEL}"
    return OFFLINE


def build_model(name: str, *, settings: Settings) -> BaseChatModel:
    """Return the LangChain chat model that `name` (`provider:model`) means. Raises `ConfigurationError`."""
    provider, _, model = name.partition(":")
    if name != OFFLINE and not (provider and model):
        raise ConfigurationError(
            f"AGENT_MODEL must be provider:name, such as openai:{DEFAULT_OPENAI_MODEL}, or {OFFLINE!r}, not {name!r}"
        )
    return _BUILDERS.get(provider, _from_langchain)(name, settings)


def _options(name: str, settings: Settings) -> ModelOptions:
    """Return the options of `name`: a fallback has none, for they would mean something else to another provider."""
    return settings.options if name == chosen_models(settings)[0] else ModelOptions()


def speaks_openai(name: str) -> bool:
    """Return whether `name` uses the OpenAI protocol, whose streams always end with a finish reason."""
    return name.startswith(("openai:", "deepseek:"))


def _offline(_name: str, _settings: Settings) -> BaseChatModel:
    from agent.providers.offline_model.model import OfflineChatModel  # start-up: it imports LangChain

    return OfflineChatModel()


def _openai(name: str, settings: Settings) -> BaseChatModel:
    key = settings.openai_api_key
    if key is None and settings.openai_base_url is None:
        raise ConfigurationError(f"{name} needs a key: set OPENAI_API_KEY (or OPENAI_BASE_URL for a local server)")
    return _openai_compatible(
        name, key=key.get_secret_value() if key else _NO_KEY, base_url=settings.openai_base_url, settings=settings
    )


def _deepseek(name: str, settings: Settings) -> BaseChatModel:
    key = settings.deepseek_api_key
    if key is None:
        raise ConfigurationError(f"{name} needs a key: set DEEPSEEK_API_KEY")
    return _openai_compatible(name, key=key.get_secret_value(), base_url=settings.deepseek_base_url, settings=settings)


def _openai_compatible(name: str, *, key: str, base_url: str | None, settings: Settings) -> BaseChatModel:
    from agent.providers.chat.compatible import CompatibleChat  # start-up: it imports langchain_openai

    provider, _, model = name.partition(":")
    options = _options(name, settings)
    body = {**options.extra_body, **({"thinking": options.thinks} if options.thinks else {})}
    thinks = provider == "deepseek" and options.thinking is not False
    return CompatibleChat(
        model=model,
        api_key=SecretStr(key),
        base_url=base_url,
        temperature=options.temperature,
        reasoning_effort=options.reasoning_effort,
        extra_body=body or None,
        timeout=settings.model_timeout,
        stream_chunk_timeout=settings.model_timeout,
        max_retries=0,  # `ChatClient` retries, also when a stream breaks half way
        stream_usage=True,
        use_responses_api=_uses_responses_api(options, base_url),
        foreign_message=_NO_REASONING if thinks else {},
        foreign_call=_NO_SIGNATURE if "gemini" in model.lower() else {},
    )


def _uses_responses_api(options: ModelOptions, base_url: str | None) -> bool | None:
    """Return what the options say; None lets LangChain decide by the model, at OpenAI itself, where the Responses API is."""
    if options.use_responses_api is not None:
        return options.use_responses_api
    return False if base_url else None


def _from_langchain(name: str, settings: Settings) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    options = _options(name, settings)
    given = {**options.model_dump(exclude_defaults=True), **({"thinking": options.thinks} if options.thinks else {})}
    try:
        model: BaseChatModel = init_chat_model(name, timeout=settings.model_timeout, max_retries=0, **given)
    except ImportError as error:
        package = re.search(r"pip install (\S+?)`?\s*$", str(error))
        needed = package.group(1).strip("`") if package else "the provider's LangChain package"
        raise ConfigurationError(f"{name!r} needs a package that is not installed: pip install {needed}") from None
    except ValidationError as error:  # its text quotes values
        raise ConfigurationError(f"cannot create the model {name!r}: {faults(error)[:300]}") from None
    except ValueError as error:
        raise ConfigurationError(f"cannot create the model {name!r}: {str(error)[:300]}") from None
    return model


_BUILDERS: dict[str, Callable[[str, Settings], BaseChatModel]] = {
    OFFLINE: _offline,
    "openai": _openai,
    "deepseek": _deepseek,
}
