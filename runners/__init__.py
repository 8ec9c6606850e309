# SPDX-License-Identifier: Apache-2.0
"""Work in zones: the server side that dispatches it and, under `zone`, the agent that does it."""
