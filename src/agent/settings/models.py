"""Settings: chat models and embedders, and what they may cost."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr, field_validator

from agent.settings.model_options import ModelOptions, read_model_options


class ModelSettings(BaseModel):
    """Chat models and embedders, and what they may cost."""

    model: str = Field(
        "",
        description="Chat model as provider:name (openai:..., deepseek:...). Empty: chosen by the keys, else the offline model.",
    )
    model_fallbacks: str = Field(
        "", description="Comma-separated models to try, in order, when the first does not answer."
    )
    model_options: str = Field(
        "",
        repr=False,
        description='Options of the first model, as JSON: {"temperature": 0, "reasoning_effort": "high", "thinking": false, "use_responses_api": true, "extra_body": {...}}.',
    )
    openai_api_key: SecretStr | None = Field(
        None, validation_alias="OPENAI_API_KEY", description="Key for OpenAI or for the server at OPENAI_BASE_URL."
    )
    openai_base_url: str | None = Field(
        None,
        repr=False,
        validation_alias="OPENAI_BASE_URL",
        description="Any OpenAI-compatible server (Ollama, vLLM, a gateway).",
    )
    deepseek_api_key: SecretStr | None = Field(
        None, validation_alias="DEEPSEEK_API_KEY", description="Key for DeepSeek."
    )
    deepseek_base_url: str = Field(
        "https://api.deepseek.com",
        repr=False,
        validation_alias="DEEPSEEK_BASE_URL",
        description="DeepSeek's OpenAI-compatible endpoint.",
    )
    embedder: str = Field(
        "",
        description="Embeddings as provider:name. Empty: openai:text-embedding-3-small with an OpenAI key, else the built-in lexical hashing.",
    )
    embedding_base_url: str | None = Field(
        None,
        repr=False,
        description="OpenAI-compatible server for embeddings, when it is another one than OPENAI_BASE_URL.",
    )
    model_timeout: float = Field(
        60.0, gt=0, description="Seconds to wait for the first and for each next part of a model's answer."
    )
    model_total_timeout: float = Field(900.0, gt=0, description="Seconds that one answer of a model may take in all.")
    model_retries: int = Field(3, ge=0, le=10, description="Retries on 429, 5xx and time-outs, with jittered back-off.")
    model_prices: str = Field(
        "", description='Prices in USD per million tokens, as JSON: {"openai:gpt-x": [input, output]}.'
    )
    turn_token_cap: int = Field(0, ge=0, description="Most tokens one turn may use; 0 is no cap.")
    day_token_cap: int = Field(0, ge=0, description="Most tokens a tenant may use in a day (UTC); 0 is no cap.")
    turn_cost_cap: float = Field(0, ge=0, description="Most US dollars one turn may cost; 0 is no cap.")
    day_cost_cap: float = Field(0, ge=0, description="Most US dollars a tenant may spend in a day (UTC); 0 is no cap.")

    @field_validator("model_options")
    @classmethod
    def _are_options(cls, value: str) -> str:
        read_model_options(value)
        return value

    @property
    def options(self) -> ModelOptions:
        """The options of the first model."""
        return read_model_options(self.model_options)
