// The image in the browser: takes pictures as image.py sends them, and keeps pixels square.
// `wire` brings a picture, `shown` is what is drawn of it, `back` tells the server what became of it
// and how large the canvas is. Nothing is assigned to `shown`, or it would be sent to the server.

// it is run each time that the size of the canvas changes, and stays from the first time on
const known = window.fbImages ??= new WeakSet();
if (known.has(figure)) return;
known.add(figure);

let codes = null;      // of the picture that is drawn, as the next one may be told by its difference
let number = 0;
let kind = null;       // pictures of one kind are of the same pixels
let size = null;       // rows and columns of the whole image
let fitted = null;     // the canvas that the ranges were last made for
let queue = Promise.resolve();
let n = 0;

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

async function take(sent) {
  const found = await inflated(sent.bytes[0]);
  if (sent.base[0] !== 0) {
    if (sent.base[0] !== number || codes.length !== found.length) return 0;
    for (let i = 0; i < found.length; i++) found[i] ^= codes[i];
  }
  [codes, number] = [found, sent.number[0]];
  const data = shown.data;
  const Codes = data.image[0].constructor;
  data.image[0] = new Codes(codes, [sent.rows[0], sent.columns[0]]);
  for (const name of ["x", "y", "dw", "dh"]) data[name][0] = sent[name][0];
  shown.change.emit();
  return number;
}

function nextFrame() {
  return new Promise((done) => requestAnimationFrame(() => done()));
}

async function show(sent) {
  let painted = 0;
  try {
    if (sent.kind[0] !== kind) {
      [kind, size, fitted] = [sent.kind[0], [sent.all_rows[0], sent.all_columns[0]], null];
      fit();
    }
    painted = await take(sent);
  } catch (error) {
    console.warn("a picture could not be shown:", error);
  }
  // the first is called before the picture is drawn, the second when it has been
  await nextFrame();
  await nextFrame();
  say(painted);
}

wire.properties.data.change.connect(() => {
  const sent = wire.data;
  queue = queue.then(() => show(sent));
});
for (const property of [figure.properties.inner_width, figure.properties.inner_height])
  property.change.connect(() => { fit(); say(number); });
document.addEventListener("visibilitychange", () => say(number));
say(0);
