// SPDX-License-Identifier: Apache-2.0
// Light or dark without loading the page again.  The cookie tells the server for the next page.

export function toggleTheme() {
  const link = document.querySelector("[data-theme-toggle]");
  link?.addEventListener("click", (event) => {
    event.preventDefault();
    const root = document.documentElement;
    const isDark = root.dataset.theme === "dark" || (root.dataset.theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
    root.dataset.theme = isDark ? "light" : "dark";
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `khatim_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=lax${secure}`;
  });
}
