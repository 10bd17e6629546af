// Where the mouse is, told to cursor.py at most ten times a second, and at last where it stays.
const EVERY_MS = 100;
const state = (window.fbMice ??= new WeakMap());
if (!state.has(mouse)) state.set(mouse, {next: null, timer: null, at: 0});
const its = state.get(mouse);

function tell() {
  its.timer = null;
  its.at = performance.now();
  mouse.data = {x: [its.next[0]], y: [its.next[1]]};
}

const hasLeft = cb_obj.event_name === "mouseleave";
its.next = hasLeft ? [null, null] : [cb_obj.x, cb_obj.y];
if (its.timer === null) its.timer = setTimeout(tell, Math.max(0, EVERY_MS - performance.now() + its.at));
