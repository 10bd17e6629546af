// Regions on the image. Each has an invisible box that can be moved and resized (a grip); what is
// seen follows it in this browser, without asking the server. The server is told when a grip is
// taken and let go of, and which keys are pressed; it answers by moving the grips.
// Given: figure, rows, handles, hand, pen.
const EDGES = ["left", "right", "top", "bottom"];
const GRIP = "fb-region-grip";
const known = new WeakSet();
let n = 0;

const grips = () => figure.center.filter((each) => each.name == GRIP);
const tell = (deed) => { hand.data = {deed: [JSON.stringify({...deed, n: ++n})]}; };

function follow() {
  const boxes = grips();
  const columns = Object.fromEntries(EDGES.map((edge) => [edge, rows.get_column(edge)]));
  const selected = rows.get_column("is_selected");
  const xs = [], ys = [];
  for (let i = 0; i < selected.length && i < boxes.length; i++) {
    const {left, right, top, bottom} = boxes[i];
    for (const edge of EDGES) columns[edge][i] = boxes[i][edge];
    if (selected[i]) {
      const [x, y] = [(left + right) / 2, (top + bottom) / 2];
      xs.push(left, x, right, left, right, left, x, right);
      ys.push(top, top, top, y, y, bottom, bottom, bottom);
    }
  }
  // changed in place and not assigned, or all of it would be sent to the server
  for (const [name, values] of [["x", xs], ["y", ys]]) {
    const column = handles.get_column(name);
    column.splice(0, column.length, ...values);
  }
  rows.change.emit();
  handles.change.emit();
}

function meet() {
  grips().forEach((grip, i) => {
    if (known.has(grip)) return;
    known.add(grip);
    grip.change.connect(follow);
    grip.pan.connect(([phase]) => {
      if (phase == "pan:start") tell({deed: "hold", i});
      if (phase == "pan:end") {
        const {left, right, top, bottom} = grip;
        tell({deed: "drop", i, left, right, top, bottom});
      }
    });
  });
  follow();
}

// drawing a new one: the pen is the tool for the next drag, then the one before it again
let before = null;
function take() {
  const isDrawing = pen.tags.includes("draw");
  if (isDrawing == pen.active) return;
  if (isDrawing) {
    before = figure.toolbar.gestures.pan.active;
    pen.active = true;
  } else {
    pen.active = false;
    if (before != null) before.active = true;
  }
}

const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const path = event.composedPath();
  const canvas = Bokeh.index.find_one(figure)?.canvas_view?.el;
  const isOurs = path.includes(canvas) || path.some((e) => e.classList?.contains("fb-regions"));
  const isTyping = path[0].isContentEditable || path[0].matches?.("input, textarea, select");
  if (!isOurs || isTyping) return;
  if (event.key in STEPS) {
    const [dx, dy] = STEPS[event.key].map((step) => step * (event.shiftKey ? 10 : 1));
    tell({deed: "shift", dx, dy});
  } else if (event.key == "Delete" || event.key == "Backspace") {
    tell({deed: "delete"});
  } else if (event.key == "Escape") {
    tell({deed: "cancel"});
  } else {
    return;
  }
  event.preventDefault();
}

figure.properties.center.change.connect(meet);
rows.properties.data.change.connect(follow);
pen.properties.tags.change.connect(take);
document.addEventListener("keydown", press);
meet();
take();
