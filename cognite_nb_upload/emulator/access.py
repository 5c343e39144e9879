"""Who may do what: the token, groups, sessions and the project."""

from __future__ import annotations

import secrets

from . import listing, rules
from .collection import Collection, byids
from .routes import Call, Family, api
from .rules import Json, boolean, ids, items, need, obj, text

HOUR_MS = 3_600_000
_SESSION = obj(
    {
        "clientId": text(1000),
        "clientSecret": text(10_000),
        "tokenExchange": boolean,
        "oneshotTokenExchange": boolean,
    }
)
_STATUSES = ("READY", "ACTIVE", "CANCELLED", "EXPIRED", "REVOKED", "ACCESS_LOST")


class Access(Family):
    """What the run's token may do. Its rights do not change: groups are shown, not made."""

    acl = (
        ("groupsAcl", "LIST READ"),
        ("projectsAcl", "LIST READ"),
        ("sessionsAcl", "LIST CREATE DELETE"),
    )

    @api("inspect", "GET", "/api/v1/token/inspect", prefix="")
    def inspect(self, call: Call) -> Json:
        name = self.project.settings.project
        mine = {"projectScope": {"projects": [name]}}
        return {
            "subject": "emulator",
            "projects": [
                {"projectUrlName": one, "groups": [1]}
                for one in (name, *self.project.settings.other_projects)
            ],
            "capabilities": [each | mine for each in self.project.capabilities],
        }

    @api("project", "GET", "")
    def show_project(self, call: Call) -> Json:
        name = self.project.settings.project
        return {"name": name, "urlName": name}

    @api("groups", "GET", "/groups")
    def groups(self, call: Call) -> Json:
        group = {"id": 1, "name": "emulator", "isDeleted": False, "sourceId": ""}
        return {"items": [group | {"capabilities": self.project.capabilities}]}


class Sessions(Collection):
    """`/sessions`: kept for an hour's life that nothing prolongs; no secret is kept."""

    kind = "sessions"
    byids = byids("sessions_byids", "/sessions/byids", ids("id"))

    @api("sessions_create", "POST", "/sessions", body=items(_SESSION, 1))
    def create(self, call: Call) -> Json:
        (item,), now = call.body["items"], self.project.now()
        table = self.project.lists["sessions"]
        session: Json = {"id": self.project.new_id(table), "status": "READY"}
        session |= {"type": _type(item), "creationTime": now, "expirationTime": now + HOUR_MS}
        if "clientId" in item:
            session["clientId"] = item["clientId"]
        table.put(session["id"], session)
        shown = {k: v for k, v in session.items() if not k.endswith("Time")}
        return {"items": [shown | {"nonce": secrets.token_urlsafe(24)}]}

    @api("sessions", "GET", "/sessions")
    def list_sessions(self, call: Call) -> Json:
        status = call.query.get("status", "").upper()
        rules.one_of("", *_STATUSES)("status", status)
        asked = listing.asked(call.query, 25)
        rows = self.rows(listing.start(asked))
        return listing.page((row for row in rows if status in ("", row[1]["status"])), asked)

    @api("sessions_revoke", "POST", "/sessions/revoke", body=ids("id"))
    def revoke(self, call: Call) -> Json:
        revoked = [each | {"status": "REVOKED"} for each in self.found(call.body)]
        for session in revoked:
            self.project.lists["sessions"].put(session["id"], session)
        return {"items": revoked}


def _type(item: Json) -> str:
    if "clientId" in item or "clientSecret" in item:
        need({"clientId", "clientSecret"} <= item.keys(), "A client has clientId and clientSecret")
        return "CLIENT_CREDENTIALS"
    asked = item.get("tokenExchange") or item.get("oneshotTokenExchange")
    need(asked, "A session needs client credentials or a token exchange")
    return "TOKEN_EXCHANGE" if item.get("tokenExchange") else "ONESHOT_TOKEN_EXCHANGE"
