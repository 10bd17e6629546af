// The list of regions: two lines for each, its edges and what is in it. Numbers and names are edited
// where they stand. What somebody is typing is left alone, whatever comes from the server.
const EDGES = ["x0", "y0", "x1", "y1"];
const NUMBERS = ["mean", "std", "sum", "max", "n", "step"];
const ALL = "all";
const MOST_B = 2e6;    // of a file that is sent; the server takes less, and says so

function made(tag, className, parent, more = {}) {
  const element = Object.assign(document.createElement(tag), more);
  element.className = className;
  parent?.append(element);
  return element;
}

export function render({model, el}) {
  const tell = (deed, more = {}) => model.send_msg({deed, ...more});
  const page = made("div", "list");
  const bar = made("div", "bar", page);
  const button = (name, label, title, deed) => {
    const found = made("button", `fb-${name}`, bar, {type: "button", textContent: label, title});
    found.addEventListener("click", deed);
    return found;
  };
  const start = button("new-region", "New region", "The next drag on the image draws one (Esc: not)",
    () => tell(model.is_drawing ? "cancel" : "new"));
  const copy = button("copy-region", "Copy", "A second one like the selected one", () => tell("copy"));
  const gone = button("delete-region", "Delete", "Delete the selected one (Del)", () => tell("delete"));
  made("span", "space", bar);
  const load = made("label", "fb-load-regions file", bar, {
    title: "Add the regions of a file: JSON or YAML, or the predecessor's",
  });
  const loaded = made("input", "", load, {type: "file", accept: ".json,.yaml,.yml,.txt,.pickle,.pkl"});
  load.append("Load");
  const save = button("save-regions", "Save", "Download all regions as JSON", () => tell("save"));

  const table = made("table", "fb-region-table", made("div", "rows", page));
  const head = made("thead", "", table);
  const heads = [
    {
      region: "", x0: "first column", y0: "first row", x1: "column after the last",
      y1: "row after the last", on: "the detector it lies on",
    },
    {
      mean: "of the valid pixels of the image that is shown", std: "of these pixels", sum: "of them",
      max: "the largest of them", pixels: "those that are not masked",
      "step ± std": "mean of the newest step, and the std of its shots",
    },
  ];
  for (const texts of heads) {
    const line = made("tr", "", head);
    for (const [textContent, title] of Object.entries(texts)) made("th", "", line, {textContent, title});
  }
  const empty = made("p", "empty", page, {
    textContent: "No region yet. Press “New region” and draw a box on the image.",
  });
  const bodies = [];

  loaded.addEventListener("change", async () => {
    const file = loaded.files[0];
    if (file == null) return;
    loaded.value = "";
    if (file.size > MOST_B) { tell("load", {name: file.name, data: "", size: file.size}); return; }
    const reader = new FileReader();
    reader.onload = () => tell("load", {name: file.name, data: reader.result.split(",")[1] ?? ""});
    reader.readAsDataURL(file);
  });

  const nameOf = (i) => model.rows[i]?.name;

  function field(line, type, className, i, done) {
    const input = made("input", className, made("td", "", line), {type, spellcheck: false});
    input.autocomplete = "off";
    input.ariaLabel = className.replace("fb-region-", "");
    input.addEventListener("input", () => { input.isTyped = true; });
    input.addEventListener("change", () => { input.isTyped = false; done(input.value); });
    input.addEventListener("keydown", (event) => {
      if (event.key == "Escape") { input.isTyped = false; fill(); input.blur(); }
      if (event.key == "Enter" && type == "text") input.blur();
    });
    input.addEventListener("focus", () => { if (model.selected != nameOf(i)) tell("select", {name: nameOf(i)}); });
    input.addEventListener("blur", () => { input.isTyped = false; fill(); });
    return input;
  }

  function grow() {
    const i = bodies.length;
    const body = made("tbody", "fb-region", table, {tabIndex: 0});
    const upper = made("tr", "", body);
    const name = field(upper, "text", "fb-region-name", i, (value) => tell("rename", {name: nameOf(i), value}));
    const dot = made("span", "dot");
    name.before(dot);
    const edges = EDGES.map((edge) => {
      const input = field(upper, "number", `fb-region-${edge}`, i,
        (value) => tell("change", {name: nameOf(i), edge, value}));
      input.step = 1;
      return input;
    });
    const on = made("select", "fb-region-on", made("td", "", upper));
    on.addEventListener("change", () => tell("put", {name: nameOf(i), detector: on.value}));
    const lower = made("tr", "numbers", body);
    const numbers = NUMBERS.map((kind) => made("td", `fb-region-${kind}`, lower));
    const note = made("td", "fb-region-note", made("tr", "", body), {colSpan: 6});
    body.addEventListener("mousedown", () => { if (model.selected != nameOf(i)) tell("select", {name: nameOf(i)}); });
    body.addEventListener("keydown", (event) => {
      if (event.target === body && event.key == "Enter") { name.focus(); name.select(); event.preventDefault(); }
    });
    body.addEventListener("focus", () => { if (model.selected != nameOf(i)) tell("select", {name: nameOf(i)}); });
    bodies.push({body, name, dot, edges, on, numbers, note});
  }

  function put(input, value) {
    const isHere = input.getRootNode().activeElement === input;
    if (!(isHere && input.isTyped) && input.value != value) input.value = value;
  }

  function fill() {
    const rows = model.rows;
    while (bodies.length < rows.length) grow();
    bodies.forEach(({body, name, dot, edges, on, note}, i) => {
      const row = rows[i];
      body.hidden = row == null;
      if (row == null) return;
      body.classList.toggle("is-selected", row.name == model.selected);
      body.classList.toggle("is-off", row.is_off);
      dot.style.background = row.colour;
      put(name, row.name);
      edges.forEach((input, k) => put(input, String(row[EDGES[k]])));
      const options = ["", ...new Set([...model.detectors, row.detector].filter((d) => d))];
      if (options.join() != [...on.options].map((o) => o.value).join())
        on.replaceChildren(...options.map((d) => new Option(d || ALL, d)));
      on.value = row.detector;
      for (const input of [name, ...edges, on]) input.disabled = model.is_locked;
      note.textContent = row.note;
      note.parentElement.hidden = !row.note;
    });
    const isChosen = rows.some((row) => row.name == model.selected);
    start.disabled = load.inert = loaded.disabled = model.is_locked;
    load.classList.toggle("is-disabled", model.is_locked);
    copy.disabled = gone.disabled = model.is_locked || !isChosen;
    save.disabled = rows.length == 0;
    start.classList.toggle("is-on", model.is_drawing);
    start.textContent = model.is_drawing ? "Draw it …" : "New region";
    table.hidden = rows.length == 0;
    empty.hidden = rows.length > 0 || model.is_locked;
    count();
  }

  function count() {
    bodies.forEach(({numbers}, i) => {
      const texts = model.numbers[nameOf(i)];
      numbers.forEach((cell, k) => { cell.textContent = cell.title = texts?.[NUMBERS[k]] ?? "-"; });
    });
  }

  model.on(["rows", "selected", "detectors", "is_locked", "is_drawing", "n_shown"], fill);
  model.on("numbers", count);
  model.on("msg:custom", ({name, text}) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  fill();
  return page;
}
