// The image in the browser: takes pictures as image.py sends them, and keeps pixels square.
// `wire` brings a picture and what is written beside it, `shown` is what is drawn of it, `back` tells
// the server what became of it and how large the canvas is. What is assigned here to any other model
// than `back` stays here: the server need not hear what it has said.

// it is run each time that the size of the canvas changes, and stays from the first time on
const known = window.fbImages ??= new WeakSet();
if (known.has(figure)) return;
known.add(figure);

let codes = null;      // of the picture that is drawn, as the next one may be told by its difference
let pixels = null;     // the same in colours, as a canvas has them
let lut = null;        // the colours of the codes
let number = 0;
let kind = null;       // pictures of one kind are of the same pixels
let size = null;       // rows and columns of the whole image
let fitted = null;     // the canvas that the ranges were last made for
let queue = Promise.resolve();
let n = 0;
const here = {sync: false};

function say(painted) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [figure.inner_width || 0, figure.inner_height || 0];
  back.data = {
    painted: [painted], width: [width * ratio], height: [height * ratio],
    hidden: [document.visibilityState === "hidden"], n: [++n],
  };
}

// ranges: one pixel of the image is as wide as it is high

function around(x, y, unit, width, height) {
  const [dx, dy] = [unit * width / 2, unit * height / 2];
  return {left: x - dx, right: x + dx, bottom: y + dy, top: y - dy};
}

function fit() {
  const [width, height] = [figure.inner_width, figure.inner_height];
  if (!(width > 0 && height > 0) || size === null) return;
  const {x_range: xs, y_range: ys} = figure;
  const [rows, columns] = size;
  const all = around(columns / 2, rows / 2, Math.max(columns / width, rows / height), width, height);
  const isAll = fitted === null || (
    xs.start === xs.reset_start && xs.end === xs.reset_end &&
    ys.start === ys.reset_start && ys.end === ys.reset_end);
  let now = all;
  if (!isAll) {
    const unit = Math.abs(xs.end - xs.start) / fitted.width;
    now = around((xs.start + xs.end) / 2, (ys.start + ys.end) / 2, unit, width, height);
  }
  fitted = {width, height};
  xs.setv({start: now.left, end: now.right, reset_start: all.left, reset_end: all.right});
  ys.setv({start: now.bottom, end: now.top, reset_start: all.bottom, reset_end: all.top});
}

// pictures

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function lookUp() {
  lut = new Uint32Array(256);
  const bytes = new DataView(lut.buffer);  // red, green, blue and opaque, on any machine
  mapper.palette.forEach((colour, i) => {
    const rgb = typeof colour === "number" ? colour >>> 8 : parseInt(colour.slice(1, 7), 16);
    bytes.setUint32(4 * i, (rgb << 8 | 0xff) >>> 0);
  });
}

function coloured() {
  const found = new Uint32Array(codes.length);
  for (let i = 0; i < found.length; i++) found[i] = lut[codes[i]];
  return found;
}

function recolour() {
  lookUp();
  if (codes === null) return;
  pixels.set(coloured());
  shown.change.emit();
}

async function take(sent) {
  const found = await inflated(sent.bytes[0]);
  if (sent.base[0] !== 0) {
    if (sent.base[0] !== number || codes.length !== found.length) return 0;
    for (let i = 0; i < found.length; i++) {
      if (found[i] !== 0) pixels[i] = lut[codes[i] ^= found[i]];
    }
  } else {
    codes = found;
    pixels = coloured();
  }
  number = sent.number[0];
  const data = shown.data;
  data.codes[0] = codes;  // for those who look on
  const Pixels = data.image[0].constructor;
  data.image[0] = new Pixels(pixels.buffer, [sent.rows[0], sent.columns[0]]);
  for (const name of ["x", "y", "dw", "dh"]) data[name][0] = sent[name][0];
  write(sent);
  shown.change.emit();
  return number;
}

// title, colour bar and whether there is a picture; painted with it, all at once
function write(sent) {
  figure.title?.setv({text: sent.title[0]}, here);
  renderer.setv({visible: sent.number[0] !== 0}, here);
  if (sent.number[0] === 0) return;
  const [ticks, labels] = [sent.ticks[0], sent.labels[0]];
  const words = new Map(ticks.map((tick, i) => [tick, labels[i]]));
  bar.ticker.setv({ticks}, here);
  bar.setv({title: sent.units[0], major_label_overrides: words}, here);
}

// when Bokeh has painted what it was told before, and the browser shows it
function onScreen() {
  return new Promise((done) => {
    const view = Bokeh.index.find_one(figure);
    const shownSoon = new MessageChannel();
    shownSoon.port1.onmessage = () => { shownSoon.port1.close(); done(); };
    function painted() {
      view?.repainted.disconnect(painted);
      clearTimeout(patience);
      shownSoon.port2.postMessage(null);  // comes after the frame in which this is
    }
    const patience = setTimeout(painted, 500);  // a figure that is not seen is not painted
    view?.repainted.connect(painted);
  });
}

async function show(sent) {
  let painted = 0;
  try {
    if (sent.number[0] === 0) {
      write(sent);
      return;
    }
    if (sent.kind[0] !== kind) {
      [kind, size, fitted] = [sent.kind[0], [sent.all_rows[0], sent.all_columns[0]], null];
      fit();
    }
    painted = await take(sent);
  } catch (error) {
    console.warn("a picture could not be shown:", error);
  }
  if (painted !== 0) await onScreen();
  say(painted);
}

wire.properties.data.change.connect(() => {
  const sent = wire.data;
  queue = queue.then(() => show(sent)).catch((error) => console.warn(error));
});
mapper.properties.palette.change.connect(recolour);
for (const property of [figure.properties.inner_width, figure.properties.inner_height])
  property.change.connect(() => { fit(); say(number); });
document.addEventListener("visibilitychange", () => say(number));
lookUp();
say(0);
