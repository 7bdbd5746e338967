"""WHIP and WHEP over HTTP (RFC 9725): an offer is answered, and what came of it is ended."""

import urllib.error
import urllib.parse
import urllib.request

# Longer than any answer takes on a machine that also does something else.
DEADLINE_S = 20


class Session:
    def __init__(self, url, key, offer):
        """Asks at `url`, with the stream key if there is one."""
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers = {"Content-Type": "application/sdp", **self.headers}
        with self.ask(urllib.request.Request(url, offer.encode(), headers)) as answer:
            self.url = urllib.parse.urljoin(url, answer.headers["Location"])
            self.answer = answer.read().decode()

    def end(self):
        self.ask(urllib.request.Request(self.url, headers=self.headers, method="DELETE")).close()

    @staticmethod
    def ask(request):
        try:
            return urllib.request.urlopen(request, timeout=DEADLINE_S)
        except urllib.error.HTTPError as refused:
            raise SystemExit(f"{refused}: {refused.read().decode()}") from None
