"""Settings: how runs of agents are measured, and what is predicted from them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator


class AnalyticsSettings(BaseModel):
    """How runs of agents are measured, and what is predicted from them."""

    performance_tracking_enabled: bool = Field(
        default=True,
        validation_alias="PERFORMANCE_TRACKING_ENABLED",
        description="Whether runs of agents are taken; without it they are refused with a sentence.",
    )
    pattern_recognition_enabled: bool = Field(
        default=True,
        validation_alias="PATTERN_RECOGNITION_ENABLED",
        description="Whether patterns are looked for: coordination, failures, drift, insights.",
    )
    anomaly_detection_enabled: bool = Field(
        default=True, validation_alias="ANOMALY_DETECTION_ENABLED", description="Whether unusual runs are looked for."
    )
    predictions_enabled: bool = Field(default=True, description="Whether success, time and cost of runs are predicted.")
    model_update_seconds: float = Field(
        3_600, ge=1, validation_alias="ML_MODEL_UPDATE_INTERVAL", description="Seconds between trainings of the models."
    )
    model_batch_size: int = Field(
        32, ge=1, validation_alias="ML_BATCH_SIZE", description="New runs that a training waits for."
    )
    vector_size: int = Field(
        256,
        ge=256,
        le=256,
        validation_alias="ML_VECTOR_SIZE",
        description="Dimensions of an agent's embedding: the table's column has 256.",
    )
    similarity_threshold: float = Field(0.85, ge=-1, le=1, description="Cosine from which two agents count as similar.")
    anomaly_threshold: float = Field(
        2.0, gt=0, description="How unusual a run must be, in robust standard deviations of the prediction's error."
    )
    prediction_confidence: float = Field(
        0.8, ge=0, le=1, description="Confidence from which a prediction is called reliable."
    )
    metrics_retention_days: int = Field(
        90, ge=1, le=3_650, description="Days that runs of agents and their figures are kept."
    )
    tracking_seconds: float = Field(60.0, ge=1, description="Seconds between two measured rows of performance_metrics.")
    pattern_seconds: float = Field(
        60.0, ge=0, description="Seconds for which patterns are not looked for again, although there are new runs."
    )
    training_budget_seconds: float = Field(20.0, gt=0, description="Most seconds of one training.")
    learning_env: str | None = Field(
        None,
        pattern=r"^[\w .-]{1,40}$",
        validation_alias="LEARNING_ENV",
        description="Takes the place of AGENT_ENVIRONMENT.",
    )
    learning_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "debug", "info", "warning", "error"] | None = (
        Field(None, validation_alias="LEARNING_LOG_LEVEL", description="Takes the place of AGENT_LOG_LEVEL.")
    )
    learning_api_port: int | None = Field(
        None, ge=0, le=65_535, validation_alias="LEARNING_API_PORT", description="Takes the place of AGENT_PORT."
    )

    @model_validator(mode="after")
    def _take_other_names(self) -> Self:
        """Set what has another name in the requirements, where its own name is not set."""
        level = self.learning_log_level
        given = {
            "environment": self.learning_env, "port": self.learning_api_port, "log_level": level.lower() if level else None,
        }  # fmt: skip
        for name, value in given.items():
            if value is not None and name not in self.model_fields_set:
                object.__setattr__(self, name, value)
        return self
