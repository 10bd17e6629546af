// What the page needs of the browser itself: dark or light, which is remembered, keys, and the look.
// Its other half is browser.py. Models by the name "fb-browser" carry what is said each way.
(() => {
  const root = document.documentElement;
  const NAME = "fb-is-dark";

  function remembered() {
    try {
      const found = localStorage.getItem(NAME);
      if (found !== null) return found === "1";
    } catch { /* this browser keeps nothing */ }
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function show(isDark) {
    root.classList.toggle("fb-dark", isDark);
  }

  // before anything is drawn: no flash of white
  show(remembered());
  // figures are drawn light at first: they are shown when they are dark, or when nobody answers
  const reveal = () => root.classList.remove("fb-is-turning-dark");
  root.classList.toggle("fb-is-turning-dark", remembered());
  setTimeout(reveal, 4000);

  // what stands in shadow roots is reached by no style of the page, so each root gets this one
  const look = new CSSStyleSheet();
  look.replaceSync(document.getElementById("fb-look").textContent);
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (options) {
    const made = attach.call(this, options);
    made.adoptedStyleSheets = [...made.adoptedStyleSheets, look];
    return made;
  };

  const isTyping = (event) => event.composedPath().some((node) =>
    node.isContentEditable || ["TEXTAREA", "SELECT"].includes(node.tagName) ||
    (node.tagName === "INPUT" && !["checkbox", "radio", "button", "range"].includes(node.type)));

  function dialog(rows) {
    const found = document.getElementById("fb-help");
    if (found.open) { found.close(); return; }
    const table = found.querySelector("tbody");
    table.replaceChildren(...rows.map(([key, words]) => {
      const row = document.createElement("tr");
      const [left, right] = [document.createElement("th"), document.createElement("td")];
      const mark = document.createElement("kbd");
      mark.textContent = key;
      left.append(mark);
      right.textContent = words;
      row.append(left, right);
      return row;
    }));
    found.showModal();
  }

  function meet(told, telling) {
    let n = 0;
    const say = (isDark, key = "") => { telling.data = {is_dark: [isDark], key: [key], n: [++n]}; };
    const first = (name) => told.get_column(name)[0];
    const rows = () => [...told.get_column("keys")].map((k, i) => [k, told.get_column("words")[i]]);
    // what the server has drawn is light, until it is told
    say(remembered());
    told.properties.data.change.connect(() => {
      root.classList.toggle("fb-is-paused", first("is_paused"));
      if (first("is_dark") === null) return;
      show(first("is_dark"));
      setTimeout(reveal, 50);
      try { localStorage.setItem(NAME, first("is_dark") ? "1" : "0"); } catch { /* not kept */ }
    });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
      if (event.defaultPrevented || isTyping(event)) return;
      if (event.key === "?") { dialog(rows()); return; }
      if (document.getElementById("fb-help").open) return;
      if (rows().some(([key]) => key === event.key)) say(root.classList.contains("fb-dark"), event.key);
    });
    document.addEventListener("click", (event) => {
      const path = event.composedPath();
      if (path.some((node) => node.classList?.contains("fb-show-help"))) dialog(rows());
      else if (event.target.id === "fb-help") event.target.close();
      // the text of a tick is no label of it: Bokeh makes a plain box
      const ticked = path[0].classList?.contains("bk-label") && path[0].previousElementSibling;
      if (ticked && ticked.type === "checkbox") ticked.click();
    });
  }

  const looking = setInterval(() => {
    for (const found of window.Bokeh?.documents ?? []) {
      const model = found.get_model_by_name("fb-browser");
      if (model !== null) {
        clearInterval(looking);
        meet(...model.tags);
        return;
      }
    }
  }, 30);
})();
