# SPDX-License-Identifier: Apache-2.0
"""Other ways to sign than by the embedded authority: a private Sigstore, a key on a token, a bare key."""
