"""What `wakatime --today` prints, with Devtrail in the place of the only host that the client asks.

    today.py URL KEY
"""

import sys

from wakatime import main
from wakatime.packages.requests.sessions import Session

url, key = sys.argv[1:]
asked = Session.request


def request(self, method, address, **more):
    return asked(self, method, address.replace("https://api.wakatime.com", url), **more)


Session.request = request
sys.exit(main.execute(["--today", "--key", key]))
