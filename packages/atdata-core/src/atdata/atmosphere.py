"""The AT Protocol backend, `atdata_atmosphere`, under the name `atdata.atmosphere`.

It comes with ``pip install 'atdata-core[atmosphere]'``; without it, the first use of a name raises
`BackendNotInstalled`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atdata_atmosphere import *
else:
    from atdata import _facade

    def __getattr__(name: str) -> object:
        return _facade.backend_attribute("atdata_atmosphere", name)

    def __dir__() -> list[str]:
        return [*globals(), *_facade.backend_names("atdata_atmosphere")]
