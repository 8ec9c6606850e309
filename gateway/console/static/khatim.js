// SPDX-License-Identifier: Apache-2.0
// The console works without any of this: the modules only shorten ways that links and forms already offer.
import { offerCopies } from "./copy.js";
import { sendOnce } from "./forms.js";
import { listenForKeys } from "./keys.js";
import { followSections } from "./sections.js";
import { toggleTheme } from "./theme.js";

offerCopies();
sendOnce();
listenForKeys();
followSections();
toggleTheme();
