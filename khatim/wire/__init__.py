# SPDX-License-Identifier: Apache-2.0
"""The bodies on the wire, shared by server, agents and SDK: `requests` in, `answers` out, `work` for agents."""
