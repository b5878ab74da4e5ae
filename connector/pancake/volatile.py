"""
What of Pancake's JSON is not content, although it differs from read to read. One rule, and no other.

*In a URL inside a JSON string, the query is not content if it carries the signature of a signing CDN.*

Such a URL names its file by its path; its query says until when it may be fetched, and proves it. The names
below are those of the services that inboxes point to: each is only ever used for that.

| who | parameters | source |
|---|---|---|
| Facebook's CDN | ``oh``, ``oe``, ``_nc_…`` | fbcdn.net URLs in Graph API answers |
| AWS S3, and all that speak it | ``X-Amz-…`` | AWS Signature V4, query parameters |
| Google Cloud Storage | ``X-Goog-…``, ``GoogleAccessId`` | V4 and V2 signed URLs |
| CloudFront, S3 before V4 | ``Signature``, ``Key-Pair-Id``, ``Policy``, ``Expires`` | canned, custom policy |
| Azure Blob (``se``, ``sp``, ``sv``, ``sr`` never come without) | ``sig`` | shared access signature |
| TikTok | ``x-signature``, ``x-expires`` | tiktokcdn.com URLs |
| Akamai, Alibaba | ``hdnea``, ``hdnts``, ``auth_key`` | token authentication |
| Pancake and others | ``sig``, ``signature``, ``token`` | the URLs of attachments |

Names that mean something else elsewhere (``se``, ``sp``: a shop's product) do not count by themselves.
"""

import re

# Within a JSON string, & may be written \u0026 or &amp; (messages are HTML), and / may be written \/.
_SEPARATOR = rb"(?:&(?:amp;)?|\\u0026(?:amp;)?|;)"
_NAMES = (
    rb"oh|oe|_nc_[a-z_]+|x-amz-[a-z0-9-]+|x-goog-[a-z0-9-]+|GoogleAccessId|Signature|Key-Pair-Id|Policy|"
    rb"Expires|sig|x-signature|x-expires|hdnea|hdnts|auth_key|token"
)
_QUERY = re.compile(
    rb"(https?:(?:\\?/){2}(?:[^\"\\\s?#<>']|\\/)+)\?((?:[^\"\\\s#<>']|\\/|\\u0026)*)", re.IGNORECASE
)
_SIGNED = re.compile(rb"(?:^|" + _SEPARATOR + rb")(?:" + _NAMES + rb")=", re.IGNORECASE)


def content(raw: bytes) -> bytes:
    """The object without what is not content, for hashing; nobody publishes it."""
    if b"?" not in raw or b"http" not in raw:
        return raw
    return _QUERY.sub(_stripped, raw)


def _stripped(found: "re.Match[bytes]") -> bytes:
    return found[1] + b"?" if _SIGNED.search(found[2]) else found[0]
