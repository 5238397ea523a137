"""Publishing local datasets to the AT Protocol network, `atdata_atmosphere.promote`, under the name `atdata.promote`.

It comes with ``pip install 'atdata-core[atmosphere]'``; without it, the first use of a name raises
`BackendNotInstalled`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atdata_atmosphere.promote import *
else:
    from atdata import _facade

    def __getattr__(name: str) -> object:
        return _facade.backend_attribute("atdata_atmosphere.promote", name)

    def __dir__() -> list[str]:
        return [*globals(), *_facade.backend_names("atdata_atmosphere.promote")]
