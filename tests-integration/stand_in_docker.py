"""What stands in for docker where there is none: it keeps what it was asked, and starts the servers itself.

It has what ``atdata local`` uses of docker: ``info``, ``compose version``, ``compose up`` and ``compose down``. What an
engine makes of the compose file is not tested by it. ``DOCKER_LOG`` names the file for what it was asked.
"""

import json
import os
import sys
from pathlib import Path

from atdata_local import servers

arguments = sys.argv[1:]
with open(os.environ["DOCKER_LOG"], "a") as log:
    log.write(json.dumps(arguments) + "\n")
if arguments[0] == "compose" and arguments[1] != "version":
    folder = Path(arguments[arguments.index("--project-directory") + 1])
    running = folder / "stand-in.json"
    given = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())
    if "up" in arguments:
        redis, s3 = servers.find_redis(), servers.find_s3()
        assert redis is not None
        assert s3 is not None
        (owner,) = json.loads((folder / "s3.json").read_bytes())["identities"]
        keys = owner["credentials"][0]
        first = servers.start_redis(redis, folder / "redis", int(given["REDIS_PORT"]), given["REDIS_PASSWORD"])
        second = servers.start_s3(s3, folder / "s3", int(given["S3_PORT"]), keys["accessKey"], keys["secretKey"])
        running.write_text(json.dumps([first.pid, second.pid]))
    else:
        for pid in json.loads(running.read_bytes()):
            servers.stop(pid)
