# SPDX-License-Identifier: Apache-2.0
"""Statements, their signatures, and the embedded sovereign Sigstore that issues and verifies them."""
