"""Publishing local datasets to the AT Protocol network, `atdata_atmosphere.promote`, under the name `atdata.promote`.

It comes with ``pip install 'atdata-core[atmosphere]'``; without it, the first use of a name raises
`BackendNotInstalled`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atdata_atmosphere.promote import *
else:
    from atdata._facade import members

    __getattr__, __dir__ = members("atdata_atmosphere.promote", globals())
