"""What people do at the emulator's identity provider."""

from __future__ import annotations

import re
from html import unescape
from queue import Queue
from typing import Any

import httpx

from cognite_nb_upload import OAuthDeviceCode, OAuthInteractive, SignInPrompt
from cognite_nb_upload.emulator import Emulator, Fault

OVER = Fault("status", "token", status=400, body='{"error": "invalid_grant"}')


class Person:
    """Sees what there is to do, and does it."""

    def __init__(self, cdf: Emulator) -> None:
        self._cdf = cdf
        self.shown: Queue[SignInPrompt | None] = Queue()

    def show(self, prompt: SignInPrompt | None) -> None:
        self.shown.put(prompt)

    def next(self) -> SignInPrompt:
        prompt = self.shown.get(timeout=60)
        assert prompt is not None
        return prompt

    def decide(self, prompt: SignInPrompt, decision: str = "allow") -> None:
        """Type the code, or go to the link, and press a button."""
        form = {"user_code": prompt.code, "decision": decision, "password": self._cdf.token}
        with httpx.Client(trust_env=False, verify=False, follow_redirects=True) as browser:
            if prompt.code:
                browser.post(prompt.url, data=form).raise_for_status()
                return
            page = browser.get(prompt.url)
            fields = re.findall(r"name='(\w+)' value='([^']*)'", page.text)
            hidden = {name: unescape(value) for name, value in fields if name != "decision"}
            browser.post(page.url, data={**hidden, **form}).raise_for_status()


def device_code(cdf: Emulator, **settings: Any) -> OAuthDeviceCode:
    return OAuthDeviceCode(
        None, "emulator", ["files"], oauth_discovery_url=f"{cdf.base_url}/oauth", **settings
    )


def interactive(cdf: Emulator, **settings: Any) -> OAuthInteractive:
    given = {"redirect_port": 0, "open_browser": False, **settings}
    return OAuthInteractive(f"{cdf.base_url}/oauth", "emulator", ["files"], **given)
