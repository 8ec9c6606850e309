# SPDX-License-Identifier: Apache-2.0
"""Tests of `khatim`: words, contracts, wire, client, command line."""
