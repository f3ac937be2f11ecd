"""The questions that ``init`` asks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

from bridge.auth.token import profile_url
from bridge.errors import Refused
from bridge.net.web_url import BadURL, parse
from bridge.settings import Server
from bridge.settings_file import LOOPBACK
from bridge.store.git import AUTHOR
from bridge.store.setup import OwnerRepo

#: How often a question is asked.
_MOST_ANSWERS = 5


class Interview:
    """The questions, each with an answer to suggest. What cannot be used is asked for again."""

    def __init__(self, ask: bool) -> None:
        """``ask``: whether to ask, or to use the suggestions."""
        self._ask = ask
        self._me = ""

    def settings(self, found: list[str]) -> str:
        """Which of several files has the settings; ``""`` if there is no answer."""
        return self._answer(f"Which is your site published with: {', '.join(found)}", "")

    def me(self, given: str | None, suggested: str) -> str:
        """The site's URL. Raises :class:`Refused` where it is missing or not a profile URL."""

        def check(answer: str) -> str:
            if not answer:
                raise Refused("What is your site's URL? Give it with --me https://you.example")
            try:
                return str(profile_url(_with_scheme(answer)))
            except BadURL as error:
                named = f"SITEURL, {answer!r}," if answer == suggested else repr(answer)
                raise Refused(
                    f"{named} cannot be your site's URL: {error}. Give the URL of your home page,"
                    " such as --me https://you.example/"
                ) from error

        self._me = self._checked(given, "Your site's URL", suggested, check)
        return self._me

    def bridge(self, given: str | None, named: str = "") -> str:
        """The bridge's public URL; ``named`` is the one in the site's settings. Raises
        :class:`Refused`.
        """

        def check(answer: str) -> str:
            try:
                public = parse(_with_scheme(answer).rstrip("/") + "/")
                if public.scheme != "https" and not public.is_loopback:
                    raise BadURL("it is not https, so passwords and tokens could be intercepted")
                if urlsplit(str(public)).path != "/":
                    raise BadURL(
                        "the bridge's pages cannot be below a path, only directly below a host"
                        " name, which may be your site's"
                    )
            except BadURL as error:
                raise Refused(
                    f"{answer!r} cannot be the bridge's URL: {error}. Give the URL at which your"
                    " web server will pass requests on to it, such as https://bridge.you.example/"
                ) from error
            return str(public)

        suggested = _beside(self._me)
        if named:
            with suppress(Refused):
                known = check(named)
                # A bridge on this machine was for trying things out, unless the site is here, too.
                if _is_here(self._me) or not _is_here(known):
                    suggested = known
        return self._checked(given, "The bridge's public URL", suggested, check)

    def author(self, given: str | None, found: OwnerRepo) -> str:
        """The author of the bridge's commits. It asks if git's configuration and the site's commits
        disagree. Raises :class:`Refused`.
        """

        def check(answer: str) -> str:
            if AUTHOR.fullmatch(answer):
                return answer
            raise Refused(
                f"{answer!r} cannot be the author of commits. Give name and e-mail address, such as"
                " --author 'You <you@example.com>'."
            )

        suggested = found.author or found.usual_author
        if not given and suggested and found.usual_author in {"", suggested}:
            return suggested
        return self._checked(given, "The author of your posts, for git", suggested, check)

    def _checked(
        self, given: str | None, question: str, suggested: str, check: Callable[[str], str]
    ) -> str:
        """The answer as ``check`` returns it, which raises :class:`Refused`."""
        if given:
            return check(given)
        refusal: Refused | None = None
        for _ in range(_MOST_ANSWERS):
            answer = self._answer(question, suggested)
            if refusal is not None and not self._ask:
                break
            try:
                return check(answer)
            except Refused as error:
                if not self._ask:
                    raise
                print(error)
                refusal = error
        raise refusal or Refused(f"{question}: there was no answer.")

    def _answer(self, question: str, suggested: str) -> str:
        if not self._ask:
            return suggested
        hint = f" [{suggested}]" if suggested else ""
        try:
            return input(f"{question}{hint}: ").strip().strip("\"'") or suggested
        except EOFError:
            print()
            self._ask = False
            return suggested


def _with_scheme(address: str) -> str:
    """A URL from what people type: ``you.example``, ``localhost:8000``."""
    if "://" in address:
        return address
    try:
        host = urlsplit(f"//{address}").hostname or ""
    except ValueError as error:
        raise BadURL("its host is malformed") from error
    if host in LOOPBACK:
        return f"http://{address}"
    if "." not in host:
        raise BadURL("it is neither a URL nor a domain name")
    return f"https://{address}"


def _is_here(url: str) -> bool:
    """Whether a URL is of this machine."""
    return urlsplit(url).hostname in LOOPBACK


def _beside(me: str) -> str:
    if _is_here(me):
        # Passkeys need a name.
        return f"http://localhost:{Server().port}/"
    host = urlsplit(me).hostname or ""
    return f"https://bridge.{host.removeprefix('www.')}/"
