"""Signing in from a notebook: credentials by convention, else a small form.

Rules of this file: a secret is sent by the page as a message, and no trait ever holds it; it lives
in the credentials alone, which no repr shows; a form that signed in has been answered by CDF.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anywidget
import ipywidgets
import traitlets

from cognite_nb_upload.api.auth import Credentials, OAuthClientCredentials, Token
from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import APIError, ConfigError, UsageError
from cognite_nb_upload.models.show import escaped, plain
from cognite_nb_upload.progress.outcome import error_html
from cognite_nb_upload.unfinished import as_async_client
from cognite_nb_upload.widgets.page import Page
from cognite_nb_upload.widgets.style import box, button, close_all, hide, say
from cognite_nb_upload.widgets.tasks import Tasks

# Who signs in waits for the answer: no longer than this, in seconds, and with little patience.
_TIMEOUT_S: Final = 20.0
_QUICK: Final = Retry(attempts=2, offline_s=3.0, patience_s=5.0, deadline_s=30.0)
_METHODS: Final = (("Token", "token"), ("Client credentials", "client"))


def connect(client: object = None) -> AsyncCogniteClient | SignIn:
    """A client by convention, else a form to sign in with.

    Looks, in this order, at `client` (ours or an official one), at the variables of a CDF-hosted
    notebook, and at those that the official tools share (see `ClientConfig.from_env`). Where none
    of them is enough, a `SignIn` is returned: show it, and take its `client` in a later cell, or
    give the form itself to `UploadPanel`.

    Raises:
        UsageError: `client` is no client.
    """
    if isinstance(client, SignIn):
        return client if client.client is None else client.client
    if client is not None:
        return as_async_client(client)
    try:
        return AsyncCogniteClient()
    except ConfigError as error:
        return SignIn(why=f"Sign in here, or before the kernel starts. {error}")


class SecretBox(anywidget.AnyWidget):
    """A password box and its button; what is typed arrives as a message, and is then forgotten.

    Attributes:
        label, button: the words on both.
        busy: nothing can be typed now.
        ready: the button works; it waits for what else is needed, so that nobody types twice.
    """

    _esm = Path(__file__).parent / "static" / "secret.js"

    label = traitlets.Unicode("Token").tag(sync=True)
    button = traitlets.Unicode("Sign in").tag(sync=True)
    busy = traitlets.Bool(False).tag(sync=True)
    ready = traitlets.Bool(True).tag(sync=True)

    def on_secret(self, take: Callable[[Secret], None]) -> None:
        """Call `take(secret)` when somebody has typed one and pressed the button or Enter."""

        def told(_: object, content: dict[str, Any], __: object) -> None:
            if content.get("kind") == "secret":
                take(Secret(str(content.pop("secret", "")).strip()))

        self.on_msg(told)


class SignIn(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """Cluster, project, and a token or client credentials.

    Args:
        why: why there is no client yet; said at the top.

    Attributes:
        client: the client, once CDF has taken the credentials; None before. Observable.
        cluster, project, method, tenant, client_id: the inputs; the environment fills some.
        secret: the box for the token or the client secret, and the button.
    """

    client = traitlets.Instance(AsyncCogniteClient, allow_none=True)

    def __init__(self, why: str = "") -> None:
        self.tasks = Tasks()
        env = os.environ
        self.cluster = _text(
            "Cluster", env.get("CDF_URL") or env.get("CDF_CLUSTER"), "westeurope-1"
        )
        self.project = _text("Project", env.get("CDF_PROJECT"), "my-project")
        self.method = ipywidgets.Dropdown(options=_METHODS, description="Sign in with")
        issuer = env.get("IDP_TOKEN_URL") or env.get("IDP_TENANT_ID")
        self.tenant = _text(
            "Tenant id, or token URL", issuer, "of Microsoft Entra ID, or https://…"
        )
        self.client_id = _text("Client id", env.get("IDP_CLIENT_ID"), "")
        self.secret = SecretBox()
        self.anew = button("Sign in anew", "Show the form again", self._ask_anew, "cnbu-link")
        self.note = ipywidgets.HTML(say(why, "info"))
        self.note.add_class("cnbu-note")
        rows = [self.cluster, self.project, self.method, self.tenant, self.client_id, self.secret]
        self._need = ipywidgets.HTML()
        self._need.add_class("cnbu-note")
        self._inputs = box(ipywidgets.VBox, [box(ipywidgets.VBox, rows, "cnbu-grid"), self._need])
        foot = box(ipywidgets.HBox, [self.note, self.anew], "cnbu-tools")
        page = Page()
        super().__init__([page, self._inputs, foot])
        page.guard(self)
        self.add_class("cnbu-signin")
        self.add_class("cnbu-form")
        hide(self.anew, True)
        self.secret.on_secret(self._sign_in)
        for one in rows[:-1]:
            one.observe(self._edited, "value")
        self._edited(None)

    def close(self) -> None:
        """End what runs in the background, and close the widgets."""
        self.tasks.close()
        close_all(self)

    def __repr__(self) -> str:
        return f"<SignIn: {self.client or 'not signed in yet'}>"

    def _edited(self, _: object) -> None:
        by_client = self.method.value == "client"
        self.secret.label = "Client secret" if by_client else "Token"
        hide(self.tenant, not by_client)
        hide(self.client_id, not by_client)
        lacking = self._lacking()
        self.secret.ready = not lacking and not self.secret.busy
        self._need.value = say(f"Needed: {', '.join(lacking)}." if lacking else "", "info")

    def _lacking(self) -> list[str]:
        needed = [self.cluster, self.project]
        needed += [self.tenant, self.client_id] if self.method.value == "client" else []
        return [one.description for one in needed if not one.value.strip()]

    # --- signing in --------------------------------------------------------------------------

    def _sign_in(self, secret: Secret) -> None:
        try:
            config = self._config(secret)
        except UsageError as error:
            self.note.value = say(error, "error", "alert")
            return
        self._busy(True)
        self.note.value = say("Signing in…", "busy")
        self.tasks.start("sign in", lambda: self._try(config))

    def _busy(self, busy: bool) -> None:
        self.secret.busy = busy
        self._edited(None)

    def _config(self, secret: Secret) -> ClientConfig:
        if lacking := self._lacking():
            raise ConfigError(f"Needed: {', '.join(lacking)}.")
        where = self.cluster.value.strip()
        url = where if "://" in where else f"https://{where}.cognitedata.com"
        return ClientConfig(
            client_name="cognite_nb_upload",
            project=self.project.value.strip(),
            base_url=url,
            credentials=self._credentials(secret, url),
        )

    def _credentials(self, secret: Secret, url: str) -> Credentials:
        if self.method.value == "token":
            return Token(secret.reveal().removeprefix("Bearer "))
        issuer, client_id = self.tenant.value.strip(), self.client_id.value.strip()
        if "://" not in issuer:
            issuer = f"https://login.microsoftonline.com/{issuer}/oauth2/v2.0/token"
        scopes = os.environ.get("IDP_SCOPES", f"{url.rstrip('/')}/.default").replace(",", " ")
        audience = os.environ.get("IDP_AUDIENCE")
        return OAuthClientCredentials(issuer, client_id, secret.reveal(), scopes, audience)

    async def _try(self, config: ClientConfig) -> None:
        try:
            await self._ask_cdf(config)
        except Exception as error:  # a widget has nobody to raise to: it is said below the box
            self.note.value = error_html(_explained(error), "Not signed in.")
        else:
            self._signed_in(config)
        finally:
            self._busy(False)

    async def _ask_cdf(self, config: ClientConfig) -> None:
        quick = replace(config, timeout_s=_TIMEOUT_S, retry=_QUICK)
        async with AsyncCogniteClient(quick) as client:
            rights = await client.catalog.inspect()
        if rights.projects and config.project not in rights.projects:
            known = ", ".join(map(plain, rights.projects[:5]))
            raise ConfigError(
                f"These credentials reach no project {config.project!r}; they do reach {known}."
            )

    def _signed_in(self, config: ClientConfig) -> None:
        where = f"<b>{escaped(config.project)}</b> at {escaped(config.base_url)}"
        self.note.value = f'<div role="status">Signed in to {where}.</div>'
        hide(self._inputs, True)
        hide(self.anew, False)
        self.client = AsyncCogniteClient(config)

    def _ask_anew(self) -> None:
        hide(self._inputs, False)
        hide(self.anew, True)
        self.note.value = ""


def _explained(error: Exception) -> Exception:
    if isinstance(error, APIError) and error.code in (401, 403) and not hasattr(error, "__notes__"):
        error.add_note("Has the token expired? Is it for this cluster? Paste a fresh one.")
    return error


def _text(label: str, value: str | None, placeholder: str) -> ipywidgets.Text:
    return ipywidgets.Text(description=label, value=value or "", placeholder=placeholder)
