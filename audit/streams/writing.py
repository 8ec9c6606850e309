# SPDX-License-Identifier: Apache-2.0
"""From a message to the bytes that a transport carries."""

from __future__ import annotations

from typing import assert_never

from audit.streams import cef, ecs, ocsf, rfc5424
from audit.streams.messages import Format, Message


def line(message: Message, form: Format, *, number: int = rfc5424.NUMBER) -> bytes:
    """Return *message* in *form*, without the line feed that ends it in a file; it has none inside."""
    match form:
        case Format.SYSLOG:
            return rfc5424.encode(message, number=number)
        case Format.CEF:
            return cef.encode(message)
        case Format.OCSF:
            return ocsf.encode(message)
        case Format.ECS:
            return ecs.encode(message)
    assert_never(form)


def framed(message: Message, form: Format, *, number: int = rfc5424.NUMBER) -> bytes:
    """Return *message* as a frame for a syslog server: octet counting of RFC 6587 3.4.1, which RFC 5425 4.3 demands.

    Another format than syslog's own stands in a syslog message as its text.
    """
    text = None if form is Format.SYSLOG else line(message, form)
    data = rfc5424.encode(message, number=number, text=text)
    return b"%d %s" % (len(data), data)
