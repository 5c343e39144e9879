"""`CogniteClient`: the same as `AsyncCogniteClient`, without `await`.

Rule of this file: nothing is written twice. Each method is its async twin, run on the package's own
loop while the caller waits; interrupting the caller stops the work.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    Unpack,
    overload,
)

from cognite_nb_upload import background
from cognite_nb_upload.api.catalog import AsyncCatalog
from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.api.session import FileMultipartUploadSession, Opening
from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.files import AsyncManyFiles
from cognite_nb_upload.batch.options import MANY_DEFAULTS, ManyFields
from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.core.keywords import keywords_of, own_keywords
from cognite_nb_upload.core.numbers import as_flag
from cognite_nb_upload.core.secret import NotPickled
from cognite_nb_upload.models import FIELDS, NodeIdLike
from cognite_nb_upload.transfer.download import Download
from cognite_nb_upload.transfer.files import (
    DEFAULTS,
    AsyncFiles,
    DryRun,
    Uploadable,
    UploadContentFields,
    UploadFields,
)
from cognite_nb_upload.transfer.limits import SharedLimits
from cognite_nb_upload.transfer.upload import Upload, Uploaded

if TYPE_CHECKING:
    import pandas as pd

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
T = TypeVar("T")


class _Face(NotPickled, Generic[A]):
    """The blocking face of one async object."""

    def __init__(self, twin: A) -> None:
        self._twin = twin


class _HasTwin(Protocol[A_co]):
    @property
    def _twin(self) -> A_co: ...


def _blocking(
    method: Callable[Concatenate[A, P], Awaitable[T]],
) -> Callable[Concatenate[_HasTwin[A], P], T]:
    """The same method, which waits for the result."""

    def call(self: _HasTwin[A], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def work() -> T:
            return await method(self._twin, *args, **kwargs)

        return background.call(work)

    functools.update_wrapper(call, method)
    signature = inspect.signature(method)
    if signature.return_annotation == Opening.__name__:  # it is opened when the call returns
        signature = signature.replace(return_annotation=FileMultipartUploadSession.__name__)
    vars(call)["__signature__"] = signature
    return call


class Files(_Face[AsyncManyFiles]):
    """Files in CDF: upload, look up, download, delete."""

    @property
    def limits(self) -> SharedLimits:
        """What all uploads of this client share: parts at once, bandwidth."""
        return self._twin.limits

    @keywords_of(UploadFields, DEFAULTS, FIELDS)
    def start_upload(self, content: Uploadable, /, **fields: Unpack[UploadFields]) -> Upload:
        """Start an upload and return its handle at once; takes what `AsyncFiles.upload` takes."""
        return self._twin.upload(content, **fields)

    @keywords_of(UploadContentFields, DEFAULTS)
    def start_upload_content(
        self, content: Uploadable, /, **fields: Unpack[UploadContentFields]
    ) -> Upload:
        """Start `upload_content` and return its handle at once."""
        return self._twin.upload_content(content, **fields)

    @overload
    def upload(
        self,
        content: Uploadable,
        /,
        *,
        dry_run: Literal[False] = False,
        **fields: Unpack[UploadFields],
    ) -> Uploaded: ...

    @overload
    def upload(
        self, content: Uploadable, /, *, dry_run: Literal[True], **fields: Unpack[UploadFields]
    ) -> DryRun: ...

    @keywords_of(UploadFields, DEFAULTS, FIELDS)
    def upload(
        self, content: Uploadable, /, *, dry_run: bool = False, **fields: Unpack[UploadFields]
    ) -> Uploaded | DryRun:
        """Upload a file and wait until it is in CDF; takes what `AsyncFiles.upload` takes.

        Interrupting it stops the upload; the same call goes on from the journal.
        """
        if as_flag("dry_run", dry_run):
            return self._twin.plan(content, **fields)
        return self._twin.upload(content, **fields).finish()

    @keywords_of(UploadFields, DEFAULTS, FIELDS)
    def plan(self, content: Uploadable, /, **fields: Unpack[UploadFields]) -> DryRun:
        """What `upload` would do with the same arguments; nothing is sent."""
        return self._twin.plan(content, **fields)

    @overload
    def upload_content(
        self,
        content: Uploadable,
        /,
        *,
        dry_run: Literal[False] = False,
        **fields: Unpack[UploadContentFields],
    ) -> Uploaded: ...

    @overload
    def upload_content(
        self,
        content: Uploadable,
        /,
        *,
        dry_run: Literal[True],
        **fields: Unpack[UploadContentFields],
    ) -> DryRun: ...

    @keywords_of(UploadContentFields, DEFAULTS)
    def upload_content(
        self,
        content: Uploadable,
        /,
        *,
        dry_run: bool = False,
        **fields: Unpack[UploadContentFields],
    ) -> Uploaded | DryRun:
        """Upload the content of a file that exists, and wait; as `AsyncFiles.upload_content`."""
        if as_flag("dry_run", dry_run):
            return self._twin.upload_content(content, dry_run=True, **fields)
        return self._twin.upload_content(content, **fields).finish()

    @keywords_of(ManyFields, MANY_DEFAULTS, FIELDS)
    def start_many(self, files: object, **how: Unpack[ManyFields]) -> Batch:
        """Start many uploads and return their handle at once; as `AsyncFiles.start_many`."""
        return self._twin.start_many(files, **how)

    def resume_many(self, job_id: str, storage_options: Mapping[str, Any] | None = None) -> Batch:
        """Go on with an unfinished job by its id; as `AsyncFiles.resume_many`."""
        return self._twin.resume_many(job_id, storage_options)

    @keywords_of(ManyFields, MANY_DEFAULTS, FIELDS)
    def check_many(self, files: object, **how: Unpack[ManyFields]) -> pd.DataFrame:
        """The frame that `start_many` would begin with: every bad row told, nothing sent."""
        return self._twin.check_many(files, **how)

    @own_keywords
    def resume_upload(
        self,
        upload_id: str,
        content: Uploadable | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Uploaded:
        """Go on with an unfinished upload, and wait; as `AsyncFiles.resume_upload`."""
        return self._twin.resume_upload(upload_id, content, storage_options).finish()

    @own_keywords
    def start_download(
        self,
        path: str | os.PathLike[str],
        id: int | None = None,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
        *,
        resume: bool = True,
        max_concurrency: int | None = None,
    ) -> Download:
        """Start a download and return its handle at once; as `AsyncFiles.start_download`."""
        return self._twin.start_download(
            path, id, external_id, instance_id, resume=resume, max_concurrency=max_concurrency
        )

    @own_keywords
    def download(
        self,
        path: str | os.PathLike[str],
        id: int | None = None,
        external_id: str | None = None,
        instance_id: NodeIdLike | None = None,
        *,
        resume: bool = True,
        max_concurrency: int | None = None,
    ) -> Path:
        """Write the content to `path`, and wait; as `AsyncFiles.download`."""
        return self.start_download(
            path, id, external_id, instance_id, resume=resume, max_concurrency=max_concurrency
        ).finish()

    multipart_upload_session = _blocking(AsyncFiles.multipart_upload_session)
    multipart_upload_content_session = _blocking(AsyncFiles.multipart_upload_content_session)
    retrieve = _blocking(AsyncFiles.retrieve)
    retrieve_all = _blocking(AsyncFiles.retrieve_all)
    list = _blocking(AsyncFiles.list)
    search = _blocking(AsyncFiles.search)
    update = _blocking(AsyncFiles.update)
    manifest = _blocking(AsyncManyFiles.manifest)
    update_many = _blocking(AsyncManyFiles.update_many)
    delete = _blocking(AsyncFiles.delete)
    download_url = _blocking(AsyncFiles.download_url)
    size = _blocking(AsyncFiles.size)


class Catalog(_Face[AsyncCatalog]):
    """Data sets, labels, assets, security categories, and what the token may do."""

    data_sets = _blocking(AsyncCatalog.data_sets)
    labels = _blocking(AsyncCatalog.labels)
    find_assets = _blocking(AsyncCatalog.find_assets)
    assets = _blocking(AsyncCatalog.assets)
    security_categories = _blocking(AsyncCatalog.security_categories)
    inspect = _blocking(AsyncCatalog.inspect)


class CogniteClient(_Face[AsyncCogniteClient]):
    """A client of one CDF project that blocks: in scripts, in threads, in notebook cells.

    Without `config`, the settings are those of the official SDK's
    `global_config.default_client_config` where it is set, else of the environment (see
    `ClientConfig.from_env`).

    Args:
        config: the settings.

    Attributes:
        config: the settings.
        files: upload in parts, look up, download, delete.
        catalog: data sets, labels, assets, security categories, the token's rights.

    Raises:
        ConfigError: there is no `config`, and the environment lacks something; it is named.
    """

    def __init__(self, config: ClientConfig | None = None) -> None:
        super().__init__(AsyncCogniteClient(config))
        self.config = self._twin.config
        self.files = Files(self._twin.files)
        self.catalog = Catalog(self._twin.catalog)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **settings: Any) -> Self:
        """A client from the variables that the official tools share; see `ClientConfig.from_env`.

        Raises:
            ConfigError: names what is missing.
        """
        return cls(ClientConfig.from_env(env, **settings))

    @classmethod
    def from_sdk(cls, client: object, **settings: Any) -> Self:
        """A client for the project, and with the credentials, of an official SDK client (7 or 8).

        Raises:
            UsageError: it is not such a client.
        """
        return cls(AsyncCogniteClient.from_sdk(client, **settings).config)

    close = _blocking(AsyncCogniteClient.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    __repr__ = AsyncCogniteClient.__repr__
