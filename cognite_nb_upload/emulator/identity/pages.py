"""What a person sees at the identity provider: who asks, and Allow or Deny."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from starlette.responses import HTMLResponse

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:4rem auto;max-width:26rem;padding:0 1rem}}
label{{display:block;margin:1rem 0}}input{{box-sizing:border-box;font:inherit;padding:.5rem;
width:100%}}button{{font:inherit;margin-right:.5rem;padding:.5rem 1.5rem}}</style>
<h1>{title}</h1>{body}</html>"""
_HEADERS = {
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
}


def page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=escape(title), body=body), status, _HEADERS)


def told(title: str, text: str, status: int = 200) -> HTMLResponse:
    return page(title, f"<p role='status'>{escape(text)}</p>", status)


def decision(
    client_id: str, scope: str, hidden: Mapping[str, str], wrong: str = ""
) -> HTMLResponse:
    """The form in which a person allows or denies what `client_id` asks for."""
    fields = "".join(
        f"<input type='hidden' name='{escape(name)}' value='{escape(value)}'>"
        for name, value in hidden.items()
    )
    return page(
        "Sign in to the emulator",
        f"{_alert(wrong)}<p><b>{escape(client_id)}</b> asks for: {escape(scope or 'nothing')}</p>"
        f"<form method='post'>{fields}{_FIELD}{_BUTTONS}</form>",
        401 if wrong else 200,
    )


def device(user_code: str, wrong: str = "") -> HTMLResponse:
    """The form in which a person types the code that a device shows."""
    return page(
        "Sign in to the emulator",
        f"{_alert(wrong)}<form method='post'><label>Code<input name='user_code' required "
        f"autocomplete='off' value='{escape(user_code)}'></label>{_FIELD}{_BUTTONS}</form>",
        400 if wrong else 200,
    )


_FIELD = (
    "<label>Password: the emulator's token<input type='password' name='password' required "
    "autocomplete='off'></label>"
)
_BUTTONS = (
    "<button name='decision' value='allow'>Allow</button>"
    "<button name='decision' value='deny' formnovalidate>Deny</button>"
)


def _alert(text: str) -> str:
    return f"<p role='alert'><b>{escape(text)}</b></p>" if text else ""
