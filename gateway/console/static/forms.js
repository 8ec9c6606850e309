// SPDX-License-Identifier: Apache-2.0
// A decision is sent once, however often the button is pressed.

export function sendOnce() {
  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.getAttribute("aria-busy") === "true") event.preventDefault();
      form.setAttribute("aria-busy", "true");
    });
  }
  // The page may come back from the history with its form still marked as sent.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-once]")) form.removeAttribute("aria-busy");
  });
}
