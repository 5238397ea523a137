"""The AT Protocol backend, `atdata_atmosphere`, under the name `atdata.atmosphere`.

It comes with ``pip install 'atdata-core[atmosphere]'``; without it, the first use of a name raises
`BackendNotInstalled`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atdata_atmosphere import *
else:
    from atdata._facade import members

    __getattr__, __dir__ = members("atdata_atmosphere", globals())
