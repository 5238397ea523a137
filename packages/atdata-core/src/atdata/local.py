"""The backend for one machine or a team, `atdata_local`, under the name `atdata.local`.

It comes with ``pip install 'atdata-core[local]'``; without it, the first use of a name raises `BackendNotInstalled`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atdata_local import *
else:
    from atdata._facade import members

    __getattr__, __dir__ = members("atdata_local", globals())
