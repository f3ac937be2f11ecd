"""Mail to the owner, through the configured server, outside the request that caused it."""

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
    """Sends plain text to one person. What goes wrong is in the log, without the text."""

    def __init__(self, config: IndieAuth) -> None:
        self._config = config
        # Made once: it reads every certificate of the system's, which takes a moment that strangers
        # could measure.
        self._tls = None if config.smtp_security == "none" else ssl.create_default_context()
        self._under_way: set[asyncio.Task[None]] = set()

    def send_soon(self, subject: str, text: str) -> None:
        """Send in the background, so that the answer tells nothing by the time it takes."""
        task = asyncio.create_task(self._send(subject, text))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Wait a moment for what is under way, and give up the rest."""
        if not self._under_way:
            return
        _, late = await asyncio.wait(self._under_way, timeout=_CLOSING_SECONDS)
        for task in late:
            task.cancel()
        if late:
            _log.error("%d mails were given up, since the bridge ends", len(late))

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
            # The server's words may quote the message: the kind of error must do.
            _log.error("a sign-in link could not be mailed: %s", type(error).__name__)
