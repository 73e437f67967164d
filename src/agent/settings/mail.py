"""Settings: how mail is sent, and to whom."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from agent.settings.values import check_domains


class MailSettings(BaseModel):
    """How mail is sent, and to whom."""

    smtp_host: str = Field("", description="Mail server for send_email. Empty: no mail is sent.")
    smtp_port: int = Field(
        0, ge=0, le=65_535, description="Port of the mail server; 0 is 587, with tls 465, with none 25."
    )
    smtp_user: str = Field("", description="User at the mail server. Empty: no login.")
    smtp_password: SecretStr | None = Field(None, description="Password at the mail server.")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="How the way to the mail server is encrypted: starttls, tls, or none (on this machine only).",
    )
    smtp_plain_network: bool = Field(
        default=False, description="Allow AGENT_SMTP_TLS=none over the network, where everybody on the way can read."
    )
    smtp_check_certificate: bool = Field(
        default=True, description="Refuse a mail server whose certificate does not prove its name."
    )
    smtp_ca_file: Path | None = Field(
        None, description="PEM file of a private authority that signed the mail server's certificate."
    )
    smtp_from: str = Field("", description="Address that mail is sent from.")
    smtp_timeout: float = Field(20.0, gt=0, le=600, description="Seconds to wait for each answer of the mail server.")
    email_domains: str = Field(
        "",
        description="Comma-separated domains (*. before one names those below it) that mail may go to and link to without being HIGH risk. Empty: none.",
    )
    email_refuse_others: bool = Field(
        default=False,
        description="Refuse mail to domains, or with links to domains, outside AGENT_EMAIL_DOMAINS, instead of asking.",
    )
    email_outbox: Path | None = Field(
        None, description="Folder that gets mail as .eml files where no AGENT_SMTP_HOST is set."
    )

    @field_validator("smtp_ca_file", "email_outbox")
    @classmethod
    def _are_absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value is not None else None

    @field_validator("email_domains")
    @classmethod
    def _are_domains(cls, value: str) -> str:
        check_domains(value)
        return value
