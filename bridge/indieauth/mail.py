"""Mail to the owner, through the configured server, outside the request that caused it."""

from __future__ import annotations

import asyncio
import logging
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from bridge.settings import IndieAuth

_log = logging.getLogger(__name__)

_SECONDS = 30.0


class Mail:
    """Sends plain text to one person. What goes wrong is in the log, without the text."""

    def __init__(self, config: IndieAuth) -> None:
        self._config = config
        self._under_way: set[asyncio.Task[None]] = set()

    def send_soon(self, subject: str, text: str) -> None:
        """Send in the background, so that the answer tells nothing by the time it takes."""
        task = asyncio.create_task(self._send(subject, text))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._under_way)

    async def _send(self, subject: str, text: str) -> None:
        import aiosmtplib  # noqa: PLC0415 - only those who mail pay for it

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
                timeout=_SECONDS,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            # The server's words may quote the message: the kind of error must do.
            _log.error("a sign-in link could not be mailed: %s", type(error).__name__)
