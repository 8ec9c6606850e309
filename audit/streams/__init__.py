# SPDX-License-Identifier: Apache-2.0
"""Streams of the ledger to SIEMs: what goes out, in which format, by which transport, and how a receiver finds gaps."""
