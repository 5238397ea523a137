"""``python -m atdata_cli`` is the ``atdata`` command."""

from atdata_cli import main

main()
