// SPDX-License-Identifier: Apache-2.0

// Verifies a bundle with sigstore-js, offline: node verify.mjs BUNDLE TRUSTED_ROOT IDENTITY ISSUER
// Needs Node 22.22 or newer and, beside this file: npm install @sigstore/verify@4.1.3 @sigstore/bundle@5.0.1
// (an older Node silently gets a sigstore-js that refuses these bundles).
// Prints what was signed.  It does not look at subjects: compare them with your file's digest.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

const [bundleFile, rootFile, identity, issuer] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const bundle = bundleFromJSON(read(bundleFile));
const verifier = new Verifier(toTrustMaterial(TrustedRoot.fromJSON(read(rootFile))), { tsaThreshold: 1 });
// The identity is a pattern to sigstore-js: here every character stands for itself.
const exactly = new RegExp(`^${identity.replace(/[^\w/:-]/g, "\\$&")}$`);
verifier.verify(toSignedEntity(bundle), { subjectAlternativeName: exactly, extensions: { issuer } });
console.log(bundle.content.dsseEnvelope.payload.toString());
