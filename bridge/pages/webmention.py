"""The pages at ``/webmention``: a form to send one, and the state of one that was sent."""

from __future__ import annotations

from html import escape

from aiohttp import hdrs, web

from bridge.pages.language import current, preferred, speak, translated

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PAGE = """\
<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 1.05rem/1.55 system-ui, sans-serif }}
main {{ max-width: 34rem; margin: 12vh auto; padding: 0 1.25rem }}
h1 {{ font-size: 1.5rem; line-height: 1.25 }}
label {{ display: block; margin-top: 1rem; font-weight: 600 }}
input {{ box-sizing: border-box; width: 100%; padding: .6rem; font: inherit;
  border: 1px solid GrayText; border-radius: .4rem }}
button {{ margin-top: 1.25rem; padding: .6rem 1.2rem; font: inherit; cursor: pointer }}
a {{ overflow-wrap: anywhere; color: inherit }}
</style>
<main><h1>{title}</h1>
{body}
</main>
</html>
"""
_FORM = """\
<p>{what_for}</p>
<form method="post" action="{action}">
<label for="source">{source}</label>
<input id="source" name="source" type="url" required maxlength="2000" placeholder="https://"
 autocomplete="url" autofocus>
<label for="target">{linked}</label>
<input id="target" name="target" type="url" required maxlength="2000" value="{target}">
<button>{send}</button>
</form>
<p>{programs} <a href="https://www.w3.org/TR/webmention/">Webmention</a>. {taken_away}</p>
"""

#: The message to the sender for each state of a webmention: a heading and a sentence.
STATUS_TEXT = {
    "waiting": ("Thank you", "Your page will be verified in a moment."),
    "approved": ("Thank you", "Your page was verified and will be shown soon."),
    "pending": (
        "Waiting for the owner",
        "Your page was verified. The site’s owner decides whether to show it.",
    ),
    "shown": ("It is shown", "Your page was verified and is shown here."),
    "no-link": ("No link", "Your page does not link to this one."),
    "unreachable": ("Not reached", "Your page could not be read."),
    "gone": ("Gone", "Your page was deleted and is no longer shown here."),
    "refused": ("Not shown", "Your page is not shown here."),
}


def wants_page(request: web.Request) -> bool:
    """Whether the request comes from a person with a browser."""
    accepted = request.headers.get(hdrs.ACCEPT, "").lower()
    return "text/html" in accepted and "application/json" not in accepted


def form_page(request: web.Request, action: str, target: str) -> web.Response:
    """The form, in a language that the browser prefers; ``target`` is the page that it was opened
    from.
    """
    speak(preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))
    body = _FORM.format(
        action=escape(action),
        target=escape(target),
        what_for=translated(
            "Have you written a reply, or anything else that links to a page of this site? Paste"
            " its address here. Your page is looked at, and what it says is shown if the site’s"
            " owner agrees."
        ),
        source=translated("The address of your page"),
        linked=translated("The page of this site that it links to"),
        send=translated("Tell this site"),
        programs=translated("Programs send the same two fields:"),
        taken_away=translated(
            "To have a mention taken away, delete your page, or its link, and send it once more."
        ),
    )
    return _page(translated("Reply from your own site"), body, language=current())


def state_page(
    request: web.Request,
    title: str,
    text: str,
    source: str,
    target: str,
    *,
    status: int = 200,
    location: str = "",
) -> web.Response:
    """The state of a webmention, in a language that the browser prefers; ``location`` is the URL of
    that state.
    """
    speak(preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))
    body = (
        f"{_paragraph(text)}"
        f"<p>{translated('Your page:')}"
        f' <a rel="nofollow ugc noreferrer" href="{escape(source)}">{escape(source)}</a><br>'
        f"{translated('The page here:')}"
        f' <a href="{escape(target)}">{escape(target)}</a></p>'
    )
    headers = {}
    if location:
        again = escape(translated("See later what has become of it"))
        body += f'<p><a href="{escape(location)}">{again}</a></p>'
        headers[str(hdrs.LOCATION)] = location
    return _page(translated(title), body, status=status, headers=headers, language=current())


def refusal_page(
    request: web.Request, action: str, text: str, status: int, headers: dict[str, str]
) -> web.Response:
    """What is wrong, with a link back."""
    speak(preferred(request.headers.get(hdrs.ACCEPT_LANGUAGE, "")))
    again = escape(translated("Try again"))
    body = f'{_paragraph(text)}<p><a href="{escape(action)}">{again}</a></p>'
    title = translated("This does not work")
    return _page(title, body, status=status, headers=headers, language=current())


def _paragraph(text: str) -> str:
    """A sentence in the language of the page, or marked as English where it has no translation."""
    translation = translated(text)
    mark = ' lang="en"' if translation == text and current() != "en" else ""
    return f"<p{mark}>{escape(translation)}</p>"


def _page(
    title: str,
    body: str,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    language: str = "en",
) -> web.Response:
    return web.Response(
        status=status,
        text=_PAGE.format(title=escape(title), body=body, language=language),
        content_type="text/html",
        headers={**_HEADERS, **(headers or {})},
    )
