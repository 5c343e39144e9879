"""Signing in from a notebook: credentials by convention, else a small form.

Rules of this file: a secret is sent by the page as a message, and no trait ever holds it; it lives
in the credentials alone, which no repr shows; a form that signed in has been answered by CDF.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import anywidget
import ipywidgets
import traitlets

from cognite_nb_upload.api.auth import Credentials, OAuthClientCredentials, Token
from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.api.environment import TOOLKIT_CLIENT
from cognite_nb_upload.api.interop import checked_config
from cognite_nb_upload.api.oauth.device_code import OAuthDeviceCode
from cognite_nb_upload.api.oauth.interactive import OAuthInteractive
from cognite_nb_upload.api.oauth.person import PersonCredentials, SignInPrompt
from cognite_nb_upload.api.values import entra_authority
from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import APIError, ConfigError, SignInFailed, UsageError
from cognite_nb_upload.models import TokenInspection
from cognite_nb_upload.models.show import escaped
from cognite_nb_upload.progress.outcome import error_html
from cognite_nb_upload.progress.watch import in_notebook
from cognite_nb_upload.unfinished import as_async_client
from cognite_nb_upload.widgets.cell import close_last_run, made_here, widget_before
from cognite_nb_upload.widgets.page import Page
from cognite_nb_upload.widgets.remembered import FIELDS, recall, remember
from cognite_nb_upload.widgets.style import box, button, close_all, hide, make, say
from cognite_nb_upload.widgets.taken_over import Place, TakeOver, TakesOver
from cognite_nb_upload.widgets.tasks import Tasks

# Who signs in waits for the answer: no longer than this, in seconds, and with little patience.
_TIMEOUT_S: Final = 20.0
_QUICK: Final = Retry(attempts=2, offline_s=3.0, patience_s=5.0, deadline_s=30.0)
_METHODS: Final = (
    ("A code, typed on any machine", "device_code"),
    ("The browser on this machine", "interactive"),
    ("Token", "token"),
    ("Client credentials", "client"),
)
_OF_PERSON: Final = ("device_code", "interactive")
# Before it is known to which project; token/inspect is the same for all.
_NO_PROJECT: Final = "-"


def connect(client: object = None) -> AsyncCogniteClient | SignIn:
    """A client by convention, else a form to sign in with.

    Looks, in this order, at `client` (ours or an official one), at the official SDK's default
    configuration where a program has set it, at the variables of a CDF-hosted notebook, and at
    those that the official tools share (see `ClientConfig.from_env`). Where none
    of them is enough, a `SignIn` is returned: show it, and take its `client` in a later cell, or
    give the form itself to `UploadPanel`. Where they say `device_code` or `interactive`, a notebook
    gets a `SignIn` that shows what to do and goes on by itself, and a terminal a client that prints
    it.

    Raises:
        UsageError: `client` is no client.
    """
    if isinstance(client, SignIn):
        return client if client.client is None else client.client
    if client is not None:
        return as_async_client(client)
    try:
        config = checked_config(None)
    except ConfigError as error:
        return SignIn(why=f"Sign in here, or before the kernel starts. {error}")
    given = config.credentials
    if isinstance(given, PersonCredentials) and in_notebook() and not given.header_at_hand():
        return SignIn(config=config)
    return AsyncCogniteClient(config)


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


class CodeBox(anywidget.AnyWidget):
    """What a person has to do: a link, the code with a button that copies it, the time left.

    Attributes:
        url, page, code: as in `SignInPrompt`; "" while there is nothing to do.
        ends_ms: when it is too late, in milliseconds since 1970.
    """

    _esm = Path(__file__).parent / "static" / "code.js"

    url = traitlets.Unicode("").tag(sync=True)
    page = traitlets.Unicode("").tag(sync=True)
    code = traitlets.Unicode("").tag(sync=True)
    ends_ms = traitlets.Float(0.0).tag(sync=True)

    def show(self, prompt: SignInPrompt | None) -> None:
        """Show what to do now, or nothing."""
        with self.hold_sync():
            if prompt is None:
                self.url = self.page = self.code = ""
                return
            self.ends_ms = 1000 * (time.time() + prompt.left_s)
            self.page = prompt.page or prompt.url
            self.url, self.code = prompt.url, prompt.code

    def on_cancel(self, do: Callable[[], None]) -> None:
        """Call `do()` when Cancel is pressed."""

        def told(_: object, content: dict[str, Any], __: object) -> None:
            if content.get("kind") == "cancel":
                do()

        self.on_msg(told)


class SignIn(TakesOver):
    """Cluster, a way of signing in, and then the project, of those that one reaches.

    Args:
        why: why there is no client yet; said at the top.
        config: settings whose credentials wait for a person; then nothing is asked but that.

    Attributes:
        client: the client, once CDF has taken the credentials; None before. Observable.
        cluster, method, tenant, client_id: the inputs; the environment fills some, and the last
            sign-in the others.
        secret: the box for the token or the client secret, and its button.
        start: the button of the ways without a secret.
        code: the link and the code, while a person is asked.
        project: the projects that were found, where there are several.
    """

    _kind = "form to sign in"
    client = traitlets.Instance(AsyncCogniteClient, allow_none=True)
    cluster: ipywidgets.Text
    method: ipywidgets.Dropdown
    tenant: ipywidgets.Text
    client_id: ipywidgets.Text
    project: ipywidgets.Dropdown
    secret: SecretBox
    code: CodeBox

    def __init__(self, why: str = "", *, config: ClientConfig | None = None) -> None:
        close_last_run()
        self.place: Place | None = None  # it holds no ids
        # Quietly: the last sign-in's fields are filled in without a word, too.
        self.taken_over = TakeOver(self, widget_before(SignIn), told=False)
        self.tasks = Tasks()
        self._inputs: ipywidgets.VBox
        self._secret: ipywidgets.VBox
        self._choice: ipywidgets.HBox
        self._need: ipywidgets.HTML
        self._wanted: str
        self._found: tuple[ClientConfig, TokenInspection] | None = None
        self._person: PersonCredentials | None = None
        self._make(recall())
        self.note = make(ipywidgets.HTML, say(why, "info"))
        self.note.add_class("cnbu-note")
        self.anew = button("Sign in anew", "Show the form again", self._ask_anew, "cnbu-link")
        page = Page()
        foot = box(ipywidgets.HBox, [self.note, self.anew], "cnbu-tools")
        super().__init__(
            [page, self._inputs, self.code, self._choice, foot], layout=make(ipywidgets.Layout)
        )
        page.guard(self)
        self.add_class("cnbu-signin")
        self.add_class("cnbu-form")
        hide(self.anew, True)
        self._show_choice(False)
        self.secret.on_secret(self._sign_in)
        self.code.on_cancel(self._cancel)
        for one in (self.cluster, self.method, self.tenant, self.client_id):
            one.observe(self._edited, "value")
        self._edited(None)
        if config is not None:
            self._wanted = config.project
            hide(self._inputs, True)
            self._begin(config)
        made_here(self, self._close_for_next_run)
        self.taken_over.watch()

    def _make(self, last: dict[str, str]) -> None:
        env = os.environ
        self._wanted = env.get("CDF_PROJECT") or last.get("project", "")
        given = env.get("CDF_URL") or env.get("CDF_CLUSTER")
        self.cluster = _text("Cluster", given or last.get("cluster"), "westeurope-1")
        methods = [value for _, value in _METHODS]
        method = env.get("LOGIN_FLOW", "").lower().replace("client_credentials", "client")
        method = method or last.get("method", "")
        self.method = make(
            ipywidgets.Dropdown,
            options=_METHODS,
            value=method if method in methods else "device_code",
            description="Sign in with",
        )
        issuer = env.get("IDP_DISCOVERY_URL") or env.get("IDP_TOKEN_URL")
        issuer = issuer or env.get("IDP_TENANT_ID") or last.get("tenant")
        self.tenant = _text("Tenant id, or URL", issuer, "of Microsoft Entra ID, or https://…")
        client_id = env.get("IDP_CLIENT_ID") or last.get("client_id")
        self.client_id = _text("Client id", client_id, "")
        self.secret = SecretBox()
        # An anywidget's own classes do not change any more once it is drawn.
        self._secret = box(ipywidgets.VBox, [self.secret])
        self.start = button("Sign in", "Show what to do", self._start, "cnbu-go")
        self._need = make(ipywidgets.HTML)
        self._need.add_class("cnbu-note")
        rows = [
            self.cluster, self.method, self.tenant, self.client_id, self._secret, self.start
        ]  # fmt: skip
        self._inputs = box(ipywidgets.VBox, [box(ipywidgets.VBox, rows, "cnbu-grid"), self._need])
        self.code = CodeBox()
        self.project = make(ipywidgets.Dropdown, description="Project")
        self._take = button("Use this project", "", self._choose, "cnbu-go")
        self._choice = box(ipywidgets.HBox, [self.project, self._take], "cnbu-tools")

    # --- what the next run of the cell takes over ----------------------------------------------

    def _fields(self) -> dict[str, Any]:
        """All but the secret."""
        boxes = {"cluster": self.cluster, "tenant": self.tenant, "client_id": self.client_id}
        return {**boxes, "method": self.method}

    def held(self) -> dict[Any, Any]:
        """What is typed, without the secret."""
        return {name: one.value for name, one in self._fields().items()}

    def hold(self, state: Mapping[Any, Any]) -> None:
        """Put in what others have `held`."""
        for name, one in self._fields().items():
            one.value = state.get(name, one.value)

    def boxes(self) -> dict[Any, Any]:
        """The boxes that one types in; that of the secret is none of them."""
        return {name: one for name, one in self._fields().items() if name != "method"}

    def is_id(self, _: Any) -> bool:
        """It holds no ids."""
        return False

    def is_view(self, _: Any) -> bool:
        """All that it holds was typed or chosen."""
        return False

    def close(self) -> None:
        """End what runs in the background, and close the widgets."""
        self.taken_over.close()
        if self.client is None:
            self._cancel()
        self.tasks.close()
        close_all(self)

    def __repr__(self) -> str:
        return f"<SignIn: {self.client or 'not signed in yet'}>"

    # --- what is typed -----------------------------------------------------------------------

    def _edited(self, _: object) -> None:
        method = self.method.value
        self.secret.label = "Client secret" if method == "client" else "Token"
        hide(self._secret, method in _OF_PERSON)
        hide(self.start, method not in _OF_PERSON)
        hide(self.tenant, method == "token")
        hide(self.client_id, method == "token")
        by_toolkit = method == "device_code" and "://" not in self.tenant.value
        self.client_id.placeholder = "empty: the toolkit's" if by_toolkit else ""
        lacking = self._lacking()
        self.secret.ready = not lacking and not self.secret.busy
        self.start.disabled = bool(lacking) or self.secret.busy
        self._need.value = say(f"Needed: {'; '.join(lacking)}." if lacking else "", "info")

    def _lacking(self) -> list[str]:
        needed = [self.cluster]
        if self.method.value != "token":
            needed.append(self.tenant)
            own = self.method.value != "device_code" or "://" in self.tenant.value
            needed += [self.client_id] if own else []
        return [one.description for one in needed if not one.value.strip()]

    def _config(self, credentials: Callable[[str], Credentials]) -> ClientConfig:
        if lacking := self._lacking():
            raise ConfigError(f"Needed: {'; '.join(lacking)}.")
        where = self.cluster.value.strip()
        url = where if "://" in where else f"https://{where}.cognitedata.com"
        return ClientConfig(
            client_name="cognite_nb_upload",
            project=_NO_PROJECT,
            base_url=url,
            credentials=credentials(url.rstrip("/")),
        )

    def _by_secret(self, secret: Secret) -> Callable[[str], Credentials]:
        def make(url: str) -> Credentials:
            if self.method.value == "token":
                return Token(secret.reveal().removeprefix("Bearer "))
            issuer = self.tenant.value.strip()
            if "://" not in issuer:
                issuer = f"https://login.microsoftonline.com/{issuer}/oauth2/v2.0/token"
            client_id = self.client_id.value.strip()
            audience = os.environ.get("IDP_AUDIENCE")
            scopes = _scopes(f"{url}/.default")
            return OAuthClientCredentials(issuer, client_id, secret.reveal(), scopes, audience)

        return make

    def _by_person(self, url: str) -> Credentials:
        issuer, client_id = self.tenant.value.strip(), self.client_id.value.strip()
        kind: type[PersonCredentials]
        if self.method.value == "device_code":
            kind, scopes = (
                OAuthDeviceCode,
                f"{url}/IDENTITY {url}/user_impersonation openid profile",
            )
        else:
            kind, scopes = OAuthInteractive, f"{url}/.default"
        if "://" in issuer:
            audience = os.environ.get("IDP_AUDIENCE") or url
            return kind(
                None, client_id, _scopes(scopes), oauth_discovery_url=issuer, audience=audience
            )
        return kind(entra_authority(issuer), client_id or TOOLKIT_CLIENT, _scopes(scopes))

    # --- signing in --------------------------------------------------------------------------

    def _sign_in(self, secret: Secret) -> None:
        self._with(self._by_secret(secret))

    def _start(self) -> None:
        self._with(self._by_person)

    def _with(self, credentials: Callable[[str], Credentials]) -> None:
        if self.secret.busy:
            return  # it was pressed twice, before the page knew
        try:
            config = self._config(credentials)
        except UsageError as error:
            self.note.value = say(error, "error", "alert")
            return
        self._begin(config)

    def _begin(self, config: ClientConfig) -> None:
        self._busy(True)
        self._show_choice(False)
        given = config.credentials
        self._person = given if isinstance(given, PersonCredentials) else None
        if self._person is not None:
            self._person.show = self._prompt
        self.note.value = say("Signing in…", "busy")
        self.tasks.start("sign in", lambda: self._try(config))

    def _prompt(self, prompt: SignInPrompt | None) -> None:
        """What a person has to do; also later, where the sign-in has run out."""
        if prompt is not None and self.client is not None:
            self.note.value = say("Your sign-in has run out: sign in again.", "warn", "alert")
        elif prompt is not None:
            self.note.value = ""
        elif self.client is not None:
            self._say_signed_in(self.client.config)
        self.code.show(prompt)  # last: who sees the code sees what it is for

    def _cancel(self) -> None:
        if self._person is not None:
            self._person.cancel_sign_in()

    def _busy(self, busy: bool) -> None:
        self.secret.busy = busy
        for one in (self.cluster, self.method, self.tenant, self.client_id):
            one.disabled = busy
        self._edited(None)

    async def _try(self, config: ClientConfig) -> None:
        try:
            quick = replace(config, timeout_s=_TIMEOUT_S, retry=_QUICK)
            async with AsyncCogniteClient(quick) as client:
                rights = await client.catalog.inspect()
            self._reached(config, rights)
        except Exception as error:  # a widget has nobody to raise to: it is said below the box
            hide(self._inputs, False)
            self.note.value = error_html(_explained(error), "Not signed in.")
        finally:
            self._busy(False)

    def _reached(self, config: ClientConfig, rights: TokenInspection) -> None:
        """Take the project that was wanted, or the only one; else have one chosen."""
        projects = rights.projects
        if not projects:
            raise ConfigError(
                f"You are known at {config.base_url}, and reach no project there."
            ).hint(
                "Ask an administrator of the project for a group with the capabilities "
                "filesAcl:READ and filesAcl:WRITE."
            )
        self._found = config, rights
        if self._wanted in projects or (len(projects) == 1 and not self._wanted):
            self._signed_in(self._wanted or projects[0])
            return
        self.project.options = projects
        wanted = f"You do not reach {self._wanted!r}. " if self._wanted else ""
        self.note.value = say(f"{wanted}Choose a project.", "info")
        hide(self._inputs, True)
        self._show_choice(True)

    def _show_choice(self, shown: bool) -> None:
        hide(self._choice, not shown)
        hide(self.anew, not shown)

    def _choose(self) -> None:
        if self.project.value:
            self._signed_in(self.project.value)

    def _signed_in(self, project: str) -> None:
        assert self._found is not None  # noqa: S101 # CDF was asked
        config = replace(self._found[0], project=project)
        self._wanted = project
        values = [self.cluster, self.method, self.tenant, self.client_id]
        typed = [one.value.strip() for one in values]
        if typed[0]:
            remember(dict(zip(FIELDS, [*typed, project], strict=True)))
        self._say_signed_in(config)
        hide(self._inputs, True)
        self._show_choice(False)
        hide(self.anew, False)
        self.client = AsyncCogniteClient(config)

    def _say_signed_in(self, config: ClientConfig) -> None:
        where = f"<b>{escaped(config.project)}</b> at {escaped(config.base_url)}"
        lacking = self._found[1].lacks(config.project) if self._found else ()
        told = say(
            f"What is missing here: {' and '.join(lacking)}. Ask an administrator of the project "
            "for a group with it." if lacking else "",
            "warn", "alert",
        )  # fmt: skip
        self.note.value = f'<div role="status">Signed in to {where}.</div>{told}'

    def _ask_anew(self) -> None:
        hide(self._inputs, False)
        self._show_choice(False)
        self._wanted = ""
        self.note.value = ""


def _scopes(otherwise: str) -> str:
    return os.environ.get("IDP_SCOPES", otherwise).replace(",", " ")


def _explained(error: Exception) -> Exception:
    if isinstance(error, APIError) and error.code in (401, 403) and not hasattr(error, "__notes__"):
        error.add_note("Has the token expired? Is it for this cluster? Paste a fresh one.")
    if isinstance(error, SignInFailed):
        error.add_note("Press Sign in for another code.")
    return error


def _text(label: str, value: str | None, placeholder: str) -> ipywidgets.Text:
    return make(ipywidgets.Text, description=label, value=value or "", placeholder=placeholder)
