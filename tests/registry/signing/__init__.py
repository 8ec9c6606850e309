# SPDX-License-Identifier: Apache-2.0
"""Tests of statements, signatures and the embedded signing authority."""
