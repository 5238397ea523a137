"""The backend for one machine or a team, `atdata_local`, under the name `atdata.local`.

It comes with ``pip install 'atdata-core[local]'``; without it, the first use of a name raises `BackendNotInstalled`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atdata_local import *
else:
    from atdata import _facade

    def __getattr__(name: str) -> object:
        return _facade.backend_attribute("atdata_local", name)

    def __dir__() -> list[str]:
        return [*globals(), *_facade.backend_names("atdata_local")]
