// The colour theme: as the system has it, light or dark. A page on a disk may be denied storage.

function startTheme(button) {
  const names = { auto: "Auto", light: "Light", dark: "Dark" };
  let theme = "auto";
  try {
    theme = localStorage.getItem("refract-theme") ?? "auto";
  } catch {
    theme = "auto";
  }
  const apply = () => {
    if (!Object.hasOwn(names, theme)) theme = "auto";
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = names[theme];
    button.setAttribute("aria-label", `Colour theme: ${theme === "auto" ? "as the system" : theme}`);
  };
  button.addEventListener("click", () => {
    const order = Object.keys(names);
    theme = order[(order.indexOf(theme) + 1) % order.length];
    apply();
    try {
      localStorage.setItem("refract-theme", theme);
    } catch {
      // Without storage the choice lasts as long as the page.
    }
  });
  apply();
}
