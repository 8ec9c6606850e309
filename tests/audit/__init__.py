# SPDX-License-Identifier: Apache-2.0
"""Tests of the ledger and of the one writing transaction."""
