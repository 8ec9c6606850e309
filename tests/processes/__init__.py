# SPDX-License-Identifier: Apache-2.0
"""Tests over real processes: `khatim up`, `khatim agent run`, real sockets between them."""
