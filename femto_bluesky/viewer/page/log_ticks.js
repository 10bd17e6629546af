// Where a logarithmic axis is labelled: Bokeh's own ticks are evenly spaced below two decades, so
// that most of such an axis has none.
const low = Math.min(cb_data.start, cb_data.end), high = Math.max(cb_data.start, cb_data.end);
if (!(low > 0 && high < Infinity && low < high)) return [];
const decades = Math.log10(high / low);
const found = [];
if (decades < 0.7) {
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((head) => head * power).find((nice) => nice >= rough);
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return found;
}
const heads = decades < 1.2 ? [1, 2, 3, 5] : decades < 2.2 ? [1, 2, 5] : [1];
const every = Math.ceil(decades / 7);
for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
  if (power % every != 0) continue;
  for (const head of heads) {
    const tick = head * 10 ** power;
    if (low <= tick && tick <= high) found.push(tick);
  }
}
return found;
