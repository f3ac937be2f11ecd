// Lists of posts and files: addresses are copied by a press, and two keys lead on where nothing is
// being typed. Without this file all of it is there, but for these.

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  const words = [...button.childNodes];
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = button.dataset.done;
    setTimeout(() => button.replaceChildren(...words), 3000);
  });
}

// Single keys can be in the way of what speaks for a keyboard (WCAG 2.1.4): they can be switched off.
const choice = document.querySelector("[data-keys]");
const search = document.getElementById("search");

if (choice) {
  const box = choice.querySelector("input");
  choice.hidden = false;
  box.checked = localStorage.getItem("desk-keys") !== "off";
  box.addEventListener("change", () => localStorage.setItem("desk-keys", box.checked ? "on" : "off"));
  addEventListener("keydown", (event) => {
    if (!box.checked || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (event.key === "n") location.assign("/desk/new");
    else if (event.key === "/") search.focus();
    else return;
    event.preventDefault();
  });
}
