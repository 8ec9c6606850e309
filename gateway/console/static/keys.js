// SPDX-License-Identifier: Apache-2.0
// "/" goes to the search field; "g" and a letter go to a page.  Never while somebody types, never with a modifier key.

const PAUSE = 1200; // milliseconds between "g" and its letter

export function listenForKeys() {
  let since = 0;
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (event.key === "/") {
      const field = document.querySelector("[data-search]");
      if (field) {
        event.preventDefault();
        field.focus();
        field.select();
      }
    } else if (event.timeStamp - since < PAUSE) {
      since = 0;
      document.querySelector(`.bar-nav [data-key="${CSS.escape(event.key)}"]`)?.click();
    } else if (event.key === "g") {
      since = event.timeStamp;
    }
  });
}
