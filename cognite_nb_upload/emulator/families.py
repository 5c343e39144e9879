"""All families of endpoints. A new one is added here, and nowhere else."""

from __future__ import annotations

from .access import Access, Sessions
from .assets import Assets
from .catalog import DataSets, Labels, SecurityCategories
from .files import Files
from .identity.endpoints import Identity
from .models.endpoints import Instances, ModelStatistics, Spaces, Views
from .routes import Family
from .store.endpoints import StoreObjects
from .uploads import Uploads

FAMILIES: tuple[type[Family], ...] = (
    Uploads,
    Files,
    DataSets,
    Labels,
    Assets,
    SecurityCategories,
    Spaces,
    Views,
    Instances,
    ModelStatistics,
    Access,
    Identity,
    Sessions,
    StoreObjects,
)

#: The names of all routes, as faults and the request log have them.
ROUTES = frozenset(route.name for family in FAMILIES for route, _ in family.routes())
