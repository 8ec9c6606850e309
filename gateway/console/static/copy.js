// SPDX-License-Identifier: Apache-2.0
// Beside each shortened digest and each command: a button that copies the whole of it.

const SHAPE = "M5.5 5.5V3.4c0-.8.6-1.4 1.4-1.4h5.7c.8 0 1.4.6 1.4 1.4v5.7c0 .8-.6 1.4-1.4 1.4h-2.1M3.4 5.5h5.7c.8 0 1.4.6 1.4 1.4v5.7c0 .8-.6 1.4-1.4 1.4H3.4c-.8 0-1.4-.6-1.4-1.4V6.9c0-.8.6-1.4 1.4-1.4z";
const SVG = "http://www.w3.org/2000/svg";

function picture() {
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 16 16", width: "14", height: "14", fill: "none", stroke: "currentColor", "stroke-width": "1.5", "aria-hidden": "true", class: "icon" })) {
    svg.setAttribute(name, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPE);
  svg.append(path);
  return svg;
}

export function offerCopies() {
  const said = document.getElementById("said");
  if (!said || !navigator.clipboard) return;
  for (const element of document.querySelectorAll("[data-copy]")) {
    if (element.closest("a, summary, button")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.title = said.dataset.copyLabel;
    button.setAttribute("aria-label", `${said.dataset.copyLabel}: ${element.dataset.copy.slice(0, 24)}`);
    button.append(picture());
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(element.dataset.copy);
      said.textContent = "";
      said.textContent = said.dataset.copied;
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), 1500);
    });
    element.after(button);
  }
}
