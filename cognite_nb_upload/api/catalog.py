"""`client.catalog`: what a file can be tied to, for forms to pick from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cognite_nb_upload.api.rpc import Rpc
from cognite_nb_upload.core.secret import NotPickled
from cognite_nb_upload.models import (
    Asset,
    DataSet,
    LabelDefinition,
    SecurityCategory,
    TokenInspection,
)

_IDS: Final = 1000


class AsyncCatalog(NotPickled):
    """Data sets, labels, assets, security categories, and what the token may do."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def data_sets(self, limit: int | None = None) -> list[DataSet]:
        """Data sets that one may read, page by page (datasets/list); all of them when None."""
        items = await self._rpc.pages("/datasets/list", {"filter": {}}, limit)
        return [DataSet.from_cdf(item) for item in items]

    async def labels(
        self,
        name: str | None = None,
        data_set_ids: Sequence[int] = (),
        limit: int | None = None,
    ) -> list[LabelDefinition]:
        """Labels that exist (labels/list), of these data sets where some are given."""
        wanted: dict[str, Any] = {"name": name} if name else {}
        if data_set_ids:
            wanted["dataSetIds"] = [{"id": one} for one in data_set_ids]
        items = await self._rpc.pages("/labels/list", {"filter": wanted}, limit)
        return [LabelDefinition.from_cdf(item) for item in items]

    async def find_assets(self, query: str, limit: int = 50) -> list[Asset]:
        """Assets whose name or description resembles `query` (assets/search); best first."""
        body: Mapping[str, Any] = {"search": {"query": query}, "limit": limit}
        reply = await self._rpc.post("/assets/search", body, what="to search for assets")
        return [Asset.from_cdf(item) for item in reply["items"]]

    async def assets(self, ids: Sequence[int]) -> list[Asset]:
        """Assets by their ids, in this order; those that CDF does not know are left out."""
        found: list[Asset] = []
        for at in range(0, len(ids), _IDS):
            body = {"items": [{"id": one} for one in ids[at : at + _IDS]], "ignoreUnknownIds": True}
            reply = await self._rpc.post("/assets/byids", body, what="to look up assets")
            found += [Asset.from_cdf(item) for item in reply["items"]]
        return found

    async def security_categories(self, limit: int | None = None) -> list[SecurityCategory]:
        """Security categories (securitycategories), page by page; all of them when None."""
        items = await self._rpc.pages("/securitycategories", None, limit)
        return [SecurityCategory.from_cdf(item) for item in items]

    async def inspect(self) -> TokenInspection:
        """What the token may do, and where (token/inspect)."""
        reply = await self._rpc.get(
            "/api/v1/token/inspect", what="to say what the token may do", in_project=False
        )
        return TokenInspection.from_cdf(reply)
