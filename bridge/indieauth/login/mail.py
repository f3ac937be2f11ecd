"""Sends mail to the owner through the configured server, outside the request that caused it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import aiosmtplib

from bridge.settings import IndieAuth

_log = logging.getLogger(__name__)

_SECONDS = 30.0
_CLOSING_SECONDS = 5.0


class Mail:
    """Sends plain text mails to the owner. Errors are logged without the text."""

    def __init__(self, config: IndieAuth) -> None:
        self._config = config
        # Created once: it loads all certificates of the system, and the time for that could be
        # measured.
        self._tls = None if config.smtp_security == "none" else ssl.create_default_context()
        self._under_way: set[asyncio.Task[None]] = set()

    def send_soon(self, subject: str, text: str) -> None:
        """Send in the background, so that the response time reveals nothing."""
        task = asyncio.create_task(self._send(subject, text))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Wait briefly for mails in progress and drop the rest."""
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=_CLOSING_SECONDS)
        for task in late:
            task.cancel()
        if late:
            _log.error("%d mails were not sent because the bridge is stopping", len(late))

    async def _send(self, subject: str, text: str) -> None:
        config = self._config
        message = EmailMessage()
        message["From"] = config.smtp_from or config.email
        message["To"] = config.email
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="localhost")
        message.set_content(text)
        try:
            await aiosmtplib.send(
                message,
                hostname=config.smtp_host,
                port=config.smtp_port,
                username=config.smtp_user or None,
                password=config.smtp_password or None,
                use_tls=config.smtp_security == "tls",
                start_tls=config.smtp_security == "starttls",
                tls_context=self._tls,
                timeout=_SECONDS,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            # The server's error may quote the message, so only the type is logged.
            _log.error("a sign-in link could not be mailed: %s", type(error).__name__)
